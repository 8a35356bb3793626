"""The tables of docs/search.md, from the stored tables of all removals: ``python -m harness.report.regret_page``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.report.text import markdown_table, number
from harness.search.regret import Regret, largest_reversal, regrets
from harness.search.truth import FOLDER, Truth, read_truth

_SHARE = 0.03  # of all removals may be evaluated
_ALLOWED = 0.02  # median regret


def page(truths: Sequence[Truth], *, seeds: int = 20) -> str:
    """Regret by selector and model, the sizes at which it is large, and the pair that sums order most wrongly."""
    rows: list[tuple[str, ...]] = []
    pairs: list[list[tuple[str, ...]]] = []
    for truth in truths:
        budget = _SHARE * len(truth.fine)
        found = list(regrets(truth, budget, seeds=seeds))
        selectors = dict.fromkeys(each.selector for each in found)
        rows += [_row(truth, name, [each for each in found if each.selector == name]) for name in selectors]
        pairs.append(_pair(truth))
    head = ("model", "selector", "median regret %", "worst size %", f"sizes above {_ALLOWED:.0%}", "evaluations")
    other = ("model", "left out", "sum of single errors", "error")
    return "\n".join([*markdown_table(head, rows), "", *markdown_table(other, [row for pair in pairs for row in pair])])


def _row(truth: Truth, selector: str, found: Sequence[Regret]) -> tuple[str, ...]:
    medians = np.array([each.median for each in found])
    large = [str(each.size) for each in found if each.median > _ALLOWED]
    costs = np.concatenate([each.cost for each in found])
    return (
        truth.about.checkpoint,
        selector,
        number(float(np.median(medians)) * 100, ".2f"),
        f"{number(float(medians.max()) * 100, '.1f')} ({found[int(medians.argmax())].size} blocks)",
        ", ".join(large) or "none",
        f"{np.median(costs):.0f} (at most {costs.max():.0f} of {len(truth.fine)})",
    )


def _pair(truth: Truth) -> list[tuple[str, ...]]:
    sizes = range(2, truth.blocks.count)
    reversals = [found for size in sizes if (found := largest_reversal(truth, size)) is not None]
    if not reversals:
        return []
    largest = max(reversals, key=lambda each: each.errors[1] - each.errors[0])
    sets = (largest.better, largest.worse)
    return [
        (truth.about.checkpoint, truth.blocks.text(removal), number(total, ".3f"), number(error, ".3f"))
        for removal, total, error in zip(sets, largest.sums, largest.errors, strict=True)
    ]


if __name__ == "__main__":
    paths = [Path(word) for word in sys.argv[1:]] or sorted(FOLDER.glob("*.safetensors"))
    print(page([read_truth(path) for path in paths]))
