"""The noise floor: no clean run is red under it, one that moved more is; and what a number of runs can support."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gates.baselines import Entry, Mode
from harness.gates.tolerances import Tolerance
from harness.gates.validation.noise_floor import MARGIN, floors, resolution
from harness.gates.verdict import compare

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


# --- a gate elsewhere flapped between .986 and .958 for months: two values, each of them steady ---

CASES, APART, NOISE = 20, 0.028, 1e-5


def nights(rng, base, count, share=0.4):
    """Values of ``count`` nights, (count, CASES), of which a share has the switch the other way."""
    values = base + NOISE * rng.normal(size=(count, CASES))
    values[rng.random(count) < share] -= APART
    return values


def calibrated(rng, runs=8):
    """Stored values, and the floors from a handful of nights in both modes."""
    base = rng.uniform(0.5, 3.0, CASES)
    reference = dict(enumerate(base + NOISE * rng.normal(size=CASES)))
    perturbed = nights(rng, base, runs - 2, share=0.4)
    both = np.vstack([perturbed, nights(rng, base, 1, share=0.0), nights(rng, base, 1, share=1.0)])
    made, _ = floors(reference, [dict(enumerate(night)) for night in both], dict.fromkeys(reference, 5e-7))
    return base, {
        case: Entry(value, 64, made[case].tolerance, mode=mode(made[case])) for case, value in reference.items()
    }


def mode(floor):
    return None if floor.mode is None else Mode(floor.mode, ("the switch",))


def red(entries, night):
    """Whether any case of a night is outside, by the gates' own rule."""
    stored = {f"c{case}": {"harm": entry} for case, entry in entries.items()}
    hand = [Tolerance("*", "harm", 0.05, 0.0, "t")]  # allows both modes and what is between them
    verdicts = (compare(f"c{case}", {"harm": value}, stored[f"c{case}"], hand) for case, value in enumerate(night))
    return any(verdict.status.red for verdict in verdicts)


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_nights_in_two_modes_give_no_false_red(seed):
    rng = np.random.default_rng(seed)
    base, entries = calibrated(rng)
    assert all(entry.mode is not None for entry in entries.values())
    assert not any(red(entries, night) for night in nights(rng, base, 1000))


@pytest.mark.parametrize("third", [0.5, 2.0, -1.0, 0.1, 0.02])
def test_a_third_mode_is_caught(third):
    rng = np.random.default_rng(5)
    base, entries = calibrated(rng)
    moved = base - third * APART + NOISE * rng.normal(size=(200, CASES))
    assert np.mean([red(entries, night) for night in moved]) >= 0.99


def test_one_tolerance_around_one_of_the_modes_would_catch_nothing_between_them():
    rng = np.random.default_rng(5)
    base, entries = calibrated(rng)
    one = {case: Entry(entry.value, 64, MARGIN * APART) for case, entry in entries.items()}
    assert not red(one, base - APART / 2)


@given(st.integers(0, 10_000))
def test_noise_alone_has_one_mode(seed):
    rng = np.random.default_rng(seed)
    runs = [dict(enumerate(rng.normal(size=CASES))) for _ in range(7)]
    made, _ = floors(dict(enumerate(rng.normal(size=CASES))), runs, dict.fromkeys(range(CASES), 1e-6))
    assert all(floor.mode is None for floor in made.values())


def test_few_runs_say_nothing_of_modes():
    runs = [{"a": 1.0}, {"a": 1.0}, {"a": 0.5}]
    made, _ = floors({"a": 1.0}, runs, {"a": 1e-6})
    assert made["a"].mode is None
    assert floors({"a": 1.0}, [*runs, *runs], {"a": 1e-6})[0]["a"].mode == 0.5
