"""A table of all removals made by a rule: errors add up but for pairs that help or hurt each other."""

from __future__ import annotations

import numpy as np

from harness.ablation.removals import of_mask
from harness.search.truth import Circumstances, Truth

LENGTHS = {"double": 3, "single": 6}


def table(lengths, seed=0, interaction=0.3, noise=0.02):
    """A truth of those stacks; without interaction and noise the errors add up."""
    rng = np.random.default_rng(seed)
    count = sum(lengths.values())
    single, pairs = rng.uniform(0.05, 1.0, count), interaction * np.triu(rng.normal(size=(count, count)), 1)
    fine = np.empty(2**count)
    for mask in range(2**count):
        gone = sorted(of_mask(mask))
        fine[mask] = single[gone].sum() + pairs[np.ix_(gone, gone)].sum() * single.mean()
    fine = np.maximum(fine, 0) if interaction else fine
    rough = fine * np.exp(noise * rng.normal(size=len(fine)))
    about = Circumstances("m", lengths, "w", ("a", "b", "c", "d"), 1, (0, 2), 4, {"torch": "2"})
    return Truth(about, fine, rough)
