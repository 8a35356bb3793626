"""The noise floors of a run's cases, from records; the repetitions themselves are in tests/e2e/test_verdicts.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BaselineError
from harness.gates import baselines
from harness.gates.baselines import Baseline, Calibration, ControlFigures, Entry, Mode
from harness.gates.update import update_noise_floors
from harness.gates.validation.calibration import arguments, check, noise_floors
from harness.gates.validation.noise_floor import MARGIN
from harness.gates.validation.perturbations import read
from harness.results.fingerprint import facts
from harness.results.records import Kind, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, TOLERANCES, quality

CONTROL = Record.of_control(FINGERPRINT, Verdict(Status.OK), quality("skip", 0.0).measurement)
NAMES = ("skip", "reverse", "swap")


def run(*harms):
    return [quality(name, harm) for name, harm in zip(NAMES, harms, strict=True)]


@pytest.fixture
def baseline(tmp_path):
    cases = {f"m-s-{name}": {"harm": Entry(1.0, 16, effect=0.5)} for name in NAMES}
    return Baseline(
        tmp_path / "cpu-float32.json", "m", "cpu", "float32", facts(FINGERPRINT), ControlFigures(1.0), cases
    )


def test_the_noise_floor_of_a_case_is_how_far_it_moves(baseline):
    runs = {"batch=2": run(1.001, 1.002, 1.004), "ulp=1": run(0.999, 1.002, 0.99)}
    (floors,) = noise_floors(baseline, run(1.0, 1.0, 1.0), runs, TOLERANCES)
    assert floors.metric == "harm"
    assert set(floors.tolerances) == set(baseline.cases)
    for name, furthest in zip(NAMES, (0.001, 0.002, 0.01), strict=True):
        assert floors.tolerances[f"m-s-{name}"] >= MARGIN * furthest  # no clean run is ever red
    # tolerances.toml allows .01 and the larger .002 of the value: the noisiest case needs more.
    assert floors.capped == ("m-s-swap",)
    assert str(floors).startswith("harm of 3 cases moves by at most ")
    assert str(floors).endswith("noisier than tolerances.toml allows: m-s-swap")
    assert baseline.cases["m-s-skip"]["harm"].tolerance is None  # nothing is stored here


def test_two_values_are_kept_with_the_name_of_the_switch(baseline):
    switched = {"cpu=avx2": -0.028, "batch=2": 0.0, "threads=1": 0.0, "ulp=1": 0.0, "cpu=default": -0.028}
    runs = {
        name: run(1.0 + 1e-5 * place, 1.0 - 1e-5 * place, 1.0 + by) for place, (name, by) in enumerate(switched.items())
    }
    (floors,) = noise_floors(baseline, run(1.0, 1.0, 1.0), runs, TOLERANCES)
    assert floors.modes == {"m-s-swap": Mode(0.972, ("cpu=avx2", "cpu=default"))}
    assert floors.tolerances["m-s-swap"] < 0.001
    assert floors.capped == ()
    (line,) = floors.mode_lines()
    assert line == "harm of m-s-swap has a second value, 0.972, under cpu=avx2, cpu=default; it is kept"


def test_what_is_no_gate_has_no_noise_floor(baseline):
    assert noise_floors(baseline, run(1.0, 1.0, 1.0), {"ulp=1": run(1.0, 1.0, 1.0)}, ()) == []


def test_what_a_perturbed_run_lacks_is_named(baseline):
    with pytest.raises(BaselineError, match="m is not calibrated: a perturbed run lacks m-s-swap"):
        noise_floors(baseline, run(1.0, 1.0, 1.0), {"ulp=1": run(1.0, 1.0, 1.0)[:2]}, TOLERANCES)


def test_noise_floors_are_stored_beside_the_values(baseline):
    before = baseline.cases["m-s-skip"]["harm"]
    calibration = Calibration(
        ("ulp=1",), MARGIN, {"harm": 1.5}, "cpu", "AVX512", 2, {"torch": "2.15.0"}, {"ulp=1": "d"}
    )
    modes = {"harm": {"m-s-reverse": Mode(0.958, ("cpu=avx2",))}}
    update_noise_floors(baseline, {"harm": {"m-s-skip": 0.0123456789, "m-s-reverse": 0.01}}, calibration, modes)
    stored = baselines.load(baseline.path, "m")
    assert stored.cases["m-s-reverse"]["harm"].mode == modes["harm"]["m-s-reverse"]
    assert stored.cases["m-s-skip"]["harm"] == replace(before, tolerance=pytest.approx(0.0123457, rel=1e-3))
    assert stored.cases["m-s-swap"] == baseline.cases["m-s-swap"]
    assert stored.calibration == calibration


def test_a_regression_can_not_be_calibrated_away():
    check([CONTROL, *run(1.0, 1.0, 1.0)], "m")
    with pytest.raises(BaselineError, match="m is not calibrated: its control did not run"):
        check(run(1.0, 1.0, 1.0), "m")
    red = quality("skip", 1.0, status=Status.REGRESSION)
    with pytest.raises(BaselineError, match=r"m is not calibrated: m-s-skip is regression \(1 such in all\)"):
        check([CONTROL, red], "m")
    check([CONTROL, replace(red, kind=Kind.LATENCY)], "m")  # a timing has no noise floor
    check([CONTROL, replace(red, checkpoint="other")], "m")


@pytest.mark.parametrize(
    "original",
    [
        ["cases/", "--dit-calibrate=3", "-k", "flux"],
        ["cases/", "--dit-calibrate", "3", "-k", "flux", "--dit-run-id", "mine"],
        ["cases/", "-k", "flux", "--dit-run-id=mine", "--dit-calibrate", "3"],
    ],
)
def test_a_repetition_takes_the_same_arguments_under_a_name_of_its_own(original):
    assert arguments(original, read("batch=16"), "mine.batch-16", Path("reports")) == [
        "cases/",
        "-k",
        "flux",
        "--dit-perturb=batch=16",
        "--dit-run-id=mine.batch-16",
        "--dit-reports=reports",
        "--benchmark-skip",
    ]
