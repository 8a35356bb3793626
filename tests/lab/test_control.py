"""Controls that nothing can be measured against."""

from __future__ import annotations

import numpy as np
import pytest

from harness.ablation.plan import parse
from harness.errors import CheckpointError
from harness.lab.control import check_spread
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import resolve


def test_scores_that_are_no_numbers_are_named(monkeypatch):
    """One prompt's score is NaN on one seed, as a judge in half precision may give it."""
    checkpoint = resolve("flux-tiny")
    lab = Lab(checkpoint, prompts=[f"a red square {place}" for place in ("", "left", "right", "up", "down", "here")])
    score = lab.judge.score
    monkeypatch.setattr(
        lab.judge, "score", lambda features, texts: np.where(np.arange(len(texts)) == 2, np.nan, score(features, texts))
    )
    with pytest.raises(CheckpointError, match=r"is nan on prompt #2, seed 0 \(1 of 6 prompts\)"):
        lab.run(parse("0 4"), "double")


def test_scores_without_spread_are_named():
    same = np.array([[90.0, 90.0], [95.0, 95.0]])
    with pytest.raises(CheckpointError, match=r"the same on every seed of a prompt.* don't depend on the seed"):
        check_spread("m", same, 0)
    with pytest.raises(CheckpointError, match=r"3 of its 4 images collapsed"):
        check_spread("m", same, 3)
    check_spread("m", np.array([[90.0, 90.0], [95.0, 90.0]]), 1)
