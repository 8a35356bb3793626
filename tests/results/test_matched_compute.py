"""The best of each kind at a speed-up, judged on prompts that it was not chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from harness.results.matched_compute import FEWER_STEPS, PLAN, REUSE, Contender, matched


def contender(kind, name, speed_up, harms):
    return Contender(kind, name, speed_up, tuple(harms))


def test_only_what_is_fast_enough_is_compared_and_differences_are_paired():
    rng = np.random.default_rng(0)
    base = rng.normal(0, 5, 40)  # prompts differ far more than variants
    contenders = [
        contender(PLAN, "slow", 1.05, base - 3),
        contender(PLAN, "good", 1.3, base),
        contender(PLAN, "bad", 1.6, base + 2),
        contender(FEWER_STEPS, "fewer-steps.3", 4 / 3, base + 1 + rng.normal(0, 0.1, 40)),
        contender(REUSE, "reuse.n2", 2.0, base - 1),
    ]
    quarter, half, double = matched(contenders, (1.25, 1.5, 2.0))
    by_kind = {best.kind: best for best in quarter.kinds}
    assert by_kind[PLAN].names == ("good",)
    assert by_kind[PLAN].more_than_plan is None
    steps = by_kind[FEWER_STEPS].more_than_plan
    assert 0.9 < steps.low < steps.value < steps.high < 1.1
    assert by_kind[REUSE].more_than_plan.value == pytest.approx(-1)
    assert [best.kind for best in half.kinds] == [PLAN, REUSE]
    assert [(best.kind, best.more_than_plan) for best in double.kinds] == [(REUSE, None)]


def test_the_best_of_many_equal_ones_is_not_flattered():
    """Of 50 variants that differ by chance alone, the best on all prompts looks better than they are."""
    rng = np.random.default_rng(1)
    flattered, honest = [], []
    for _ in range(200):
        harms = rng.normal(1, 1, (50, 32))
        contenders = [contender(PLAN, str(i), 2.0, row) for i, row in enumerate(harms)]
        flattered.append(harms.mean(axis=1).min())
        honest.append(matched(contenders, (2.0,))[0].kinds[0].harm.value)
    assert np.mean(flattered) < 0.7
    assert np.mean(honest) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("lengths", [(3, 3), (8, 4), ()])
def test_other_prompts_or_too_few_are_refused(lengths):
    with pytest.raises(ValueError, match="on the same four prompts or more"):
        matched([contender(PLAN, str(n), 2.0, [0.0] * n) for n in lengths])
