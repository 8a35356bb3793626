"""The noise floor: no clean run is red under it, one that moved more is; and what a number of runs can support."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gates.validation.noise_floor import MARGIN, floors, resolution

finite = st.floats(-100, 100, allow_nan=False)


@given(st.lists(st.lists(finite, min_size=4, max_size=4), min_size=2, max_size=7))
def test_every_run_that_made_it_is_inside_with_room(table):
    reference, *runs = ({f"c{i}": v for i, v in enumerate(row)} for row in table)
    made, _ = floors(reference, runs, dict.fromkeys(reference, 1e-6))
    for case, floor in made.items():
        assert all(abs(run[case] - reference[case]) <= floor.tolerance for run in runs)
        assert floor.tolerance >= min(MARGIN * floor.seen, floor.tolerance)
        assert floor.seen * MARGIN <= floor.tolerance * (1 + 1e-9)


def test_scaling_the_noise_scales_the_tolerances():
    rng = np.random.default_rng(0)
    gaps = rng.normal(size=(6, 20))
    reference = {f"c{i}": 1.0 for i in range(20)}

    def tolerances(factor):
        runs = [{f"c{i}": 1.0 + factor * g for i, g in enumerate(row)} for row in gaps]
        return np.array([f.tolerance for f in floors(reference, runs, dict.fromkeys(reference, 1e-12))[0].values()])

    np.testing.assert_allclose(tolerances(2.0), 2 * tolerances(1.0), rtol=1e-9)


def test_a_noisy_case_gets_more_room_and_a_quiet_one_no_less_than_the_pooled():
    reference = {"quiet": 0.0, "usual": 0.0, "noisy": 0.0}
    runs = [{"quiet": 0.0, "usual": s * 1e-3, "noisy": s * 1e-1} for s in (1, -1, 1.2, -0.8)]
    made, worst = floors(reference, runs, dict.fromkeys(reference, 1e-9))
    assert made["noisy"].scale > 50 * made["usual"].scale
    assert made["quiet"].scale == pytest.approx(1.4826e-3, rel=0.2)
    assert made["noisy"].tolerance == pytest.approx(MARGIN * worst * made["noisy"].scale)


def test_runs_that_are_bitwise_equal_leave_the_resolution():
    made, worst = floors({"a": 1.0}, [{"a": 1.0}] * 3, {"a": 1e-6})
    assert worst == 0
    assert made["a"].tolerance == 1e-6


@pytest.mark.parametrize(
    ("runs", "message"), [([], "at least one"), ([{}], "lacks a"), ([{"a": float("nan")}], "not finite")]
)
def test_what_gives_no_floor(runs, message):
    with pytest.raises(ValueError, match=message):
        floors({"a": 1.0}, runs, {"a": 1e-6})


@pytest.mark.parametrize("value", [1.0, -0.00123456, 123456.0, 9.99999])
def test_the_resolution_is_half_a_unit_of_the_last_digit(value):
    step = resolution(value, 6)
    assert float(f"{value + 0.9 * step:.6g}") == pytest.approx(float(f"{value:.6g}"), rel=1e-12)
    assert float(f"{value + 2.1 * step:.6g}") != float(f"{value:.6g}")
