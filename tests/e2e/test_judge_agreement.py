"""Over many variants the judge agrees with the exact checker of the bundled world."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.ablation.grid import Ask, expand
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import resolve


@pytest.mark.nightly
def test_over_variants_it_agrees_with_the_checker():
    lab = Lab(resolve("flux-tiny"))
    strategies = ("skip", "repeat", "reverse", "shuffle.s0", "parallel", "parallel.t3")
    asks = [
        Ask(("double", "single"), ("middle",), strategies),
        Ask(("double",), ("each",), ("skip",)),
        Ask(("single",), ("first", "last"), ("skip", "parallel")),
    ]
    harms, losses = [], []
    for case in expand("flux-tiny", lab.checkpoint.stacks, asks):
        measured, _ = lab.run(case.plan, case.stack)
        harms.append(measured.summary["harm"])
        losses.append(measured.summary["all_right_loss"])
    harms, losses = np.array(harms), np.array(losses)
    unsaturated = (losses > 0.05) & (losses < 0.98)
    assert unsaturated.sum() >= 8
    assert stats.spearmanr(harms[unsaturated], losses[unsaturated]).statistic >= 0.9
