"""The noise floor: no clean run is red under it, one that moved more is; and what a number of runs can support."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.__main__ import main
from harness.gates.validation.false_reds import false_red_bound
from harness.gates.validation.noise_floor import MARGIN, floors, resolution
from harness.results.journal import Journal
from harness.results.records import Status
from tests.helpers.records import quality

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


def test_sixty_green_runs_bound_the_rate_at_five_percent():
    assert false_red_bound(60, 0) == pytest.approx(1 - 0.05 ** (1 / 60))
    assert false_red_bound(60, 0) == pytest.approx(0.0487, abs=1e-4)
    assert false_red_bound(60, 1) > 0.07
    assert false_red_bound(3, 3) == 1.0
    with pytest.raises(ValueError, match="no count"):
        false_red_bound(0, 0)


@pytest.mark.parametrize("value", [1.0, -0.00123456, 123456.0, 9.99999])
def test_the_resolution_is_half_a_unit_of_the_last_digit(value):
    step = resolution(value, 6)
    assert float(f"{value + 0.9 * step:.6g}") == pytest.approx(float(f"{value:.6g}"), rel=1e-12)
    assert float(f"{value + 2.1 * step:.6g}") != float(f"{value:.6g}")


@pytest.fixture
def repeated(tmp_path):
    """Two clean green runs and one that was red once, as folders."""
    for name, statuses in {"one": (Status.OK,) * 2, "two": (Status.OK,) * 2, "bad": (Status.OK, Status.STALE)}.items():
        journal = Journal(tmp_path / name)
        under = ("threads=1",) if name == "bad" else ()
        for i, status in enumerate(statuses):
            record = quality(f"case{i}", 0.1, status=status)
            journal.append(replace(record, fingerprint=replace(record.fingerprint, perturbed=under)))
        journal.close()
    return tmp_path


def test_red_runs_are_counted_and_bounded(repeated, capsys):
    runs = [str(repeated / name) for name in ("one", "two", "bad")]
    assert main(["false-reds", *runs, "--markdown", str(repeated / "out.md"), "--fail"]) == 1
    text = (repeated / "out.md").read_text()
    assert text in capsys.readouterr().out
    assert "1 of 3 clean runs were red" in text
    assert f"at most {false_red_bound(3, 1):.3g}" in text
    assert "6 records were judged in all, 1 of them red" in text
    assert f"| threads=1 | 1 | 1 | {false_red_bound(1, 1):.3g} |" in text
    assert f"| none | 2 | 0 | {false_red_bound(2, 0):.3g} |" in text
    assert "| bad | threads=1 | m-s-case1 | stale |" in text
    assert main(["false-reds", *runs[:2], "--fail"]) == 0


def test_a_run_that_judged_nothing_says_nothing(tmp_path, capsys):
    journal = Journal(tmp_path / "blind")
    journal.append(quality("case", 0.1, status=Status.UNJUDGED))
    journal.close()
    assert main(["false-reds", str(tmp_path / "blind")]) == 4
    assert "nothing in it was judged" in capsys.readouterr().err
