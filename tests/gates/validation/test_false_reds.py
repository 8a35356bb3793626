"""What a number of clean runs says of the rate of false reds."""

from __future__ import annotations

import pytest

from harness.gates.validation.false_reds import false_red_bound


def test_sixty_green_runs_bound_the_rate_at_five_percent():
    assert false_red_bound(60, 0) == pytest.approx(1 - 0.05 ** (1 / 60))
    assert false_red_bound(60, 0) == pytest.approx(0.0487, abs=1e-4)
    assert false_red_bound(60, 1) > 0.07
    assert false_red_bound(3, 3) == 1.0
    with pytest.raises(ValueError, match="no count"):
        false_red_bound(0, 0)
