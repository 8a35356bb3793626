"""judge(): which rule decides, without pytest, a model or a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.case import by_hand
from harness.ablation.grid import from_id
from harness.gates.baselines import Baseline, ControlFigures, Entry, Mode
from harness.gates.reference import Reference
from harness.gates.rigour import Rigour
from harness.gates.tolerances import Tolerance
from harness.gates.update import UpdateMode, update_cases
from harness.gates.verdict import NOT_MEASURED, accepted, compare, judge, judge_control, judge_latency, worst
from harness.results.fingerprint import Fingerprint, facts
from harness.results.judge_check import JudgeCheck
from harness.results.latency import Latency
from harness.results.records import Kind, Measurement, Record, Status, Verdict
from harness.results.statistics import speed_up
from tests.simulations.real import real_log_ratios

STACKS = {"double": 5}
CASE = from_id("m", STACKS, "m-double-L01-skip")
FINGERPRINT = Fingerprint(
    checkpoint="m",
    weights="w",
    judge="j",
    prompts="p",
    sampling={"steps": 4},
    device="cpu",
    dtype="float32",
    capability="avx",
    threads=2,
    versions={"torch": "2"},
)
CONTROL = Measurement(n=8, prompts=4, values={}, summary={"score": 90.0, "seed_sd": 1.0}, latents_sha256="c" * 64)
TOLERANCES = (
    *(Tolerance("*", metric, 0.05, 0.0, "t") for metric in ("harm", "latent_drift", "score")),
    Tolerance("*", "collapsed", 0.0, 0.0, "t"),
    Tolerance("*", "relative_time", 0.0, 0.1, "t"),
)


FAILED = JudgeCheck(8, 90.0, {"blank": -3.0}, ("blank images score higher",))


def variant(harm=0.5, drift=0.8, latents="v" * 64):
    summary = {"harm": harm, "latent_drift": drift, "collapsed": 0.0, "seed_sd": 1.0}
    return Measurement(n=4, prompts=4, values={}, summary=summary, latents_sha256=latents)


@pytest.fixture
def reference():
    baseline = Baseline(Path("m/cpu-float32.json"), "m", "cpu", "float32", control=ControlFigures(1.0, {"score": 90.0}))
    baseline.cases = {CASE.id: {"harm": Entry(0.5, 4), "latent_drift": Entry(0.8, 4), "collapsed": Entry(0.0, 4)}}
    baseline.latents = {CASE.id: (FINGERPRINT.digest, "v" * 64)}
    return Reference(baseline, baseline.path, exact=True, tolerances=TOLERANCES, fingerprint=FINGERPRINT)


@pytest.mark.parametrize(
    ("measured", "status"),
    [
        (variant(), Status.OK),
        (variant(harm=0.54, latents="x" * 64), Status.NONDETERMINISM),  # same fingerprint, other bits
        (variant(harm=0.56), Status.REGRESSION),
        (variant(harm=0.44), Status.STALE),
        (variant(harm=float("nan")), Status.REGRESSION),
        (variant(harm=0.56, latents="x" * 64), Status.REGRESSION),  # what is red is not called nondeterminism
        (variant(latents="c" * 64), Status.NOTHING),
        (variant(harm=0.56, latents="c" * 64), Status.NOTHING),
        (replace(variant(), judge_check=FAILED), Status.REFUSED),
        (replace(variant(harm=0.56), judge_check=FAILED), Status.REFUSED),
        (replace(variant(latents="c" * 64), judge_check=FAILED), Status.NOTHING),
        (replace(variant(), judge_check=replace(FAILED, overruled=True)), Status.OK),
        (replace(variant(), judge_check=replace(FAILED, faults=())), Status.OK),
    ],
)
def test_which_rule_decides(reference, measured, status):
    assert judge(CASE, measured, reference, CONTROL).status is status


def test_bits_of_another_fingerprint_are_not_compared(reference):
    other = replace(reference, fingerprint=replace(FINGERPRINT, threads=1))
    assert judge(CASE, variant(latents="x" * 64), other, CONTROL).status is Status.OK
    assert judge(CASE, variant(latents="x" * 64), replace(reference, exact=False), CONTROL).status is Status.OK


@pytest.mark.parametrize(
    ("change", "case", "note"),
    [
        ({"baseline": None}, CASE, "there is no cpu-float32.json for this checkpoint"),
        ({"incomparable": "other prompts", "rigour": Rigour.LENIENT}, CASE, "other prompts"),
        ({"no_images": "random weights make no images", "rigour": Rigour.STRICT}, CASE, "random weights make no"),
        ({"incomparable": "other prompts"}, by_hand("m", STACKS, "double: 0 2-4"), "a plan by hand has no baseline"),
        ({}, by_hand("m", STACKS, "double: 0 2-4"), "a plan by hand has no baseline"),
        ({}, replace(CASE, window=(0, 1), steps=4), "nobody stored this window of steps"),
    ],
)
def test_what_cannot_be_compared_is_unjudged_with_its_reason(reference, change, case, note):
    verdict = judge(case, variant(), replace(reference, **change), CONTROL)
    assert verdict.status is Status.UNJUDGED
    assert verdict.notes[0].startswith(note)


def test_a_missing_entry_is_red_and_an_update_stores_it(reference):
    reference.baseline.cases.clear()
    assert judge(CASE, variant(), reference, CONTROL).status is Status.MISSING
    assert judge(CASE, variant(), reference, CONTROL, UpdateMode.MISSING).status is Status.UPDATED


@pytest.mark.parametrize(
    ("measured", "statuses"),
    [
        (variant(harm=0.9), (Status.REGRESSION, Status.UPDATED, Status.UPDATED)),
        (variant(latents="x" * 64), (Status.NONDETERMINISM, Status.UPDATED, Status.UPDATED)),
        (variant(latents="c" * 64), (Status.NOTHING, Status.NOTHING, Status.NOTHING)),
    ],
)
def test_what_each_mode_of_updating_accepts(reference, measured, statuses):
    assert tuple(judge(CASE, measured, reference, CONTROL, mode).status for mode in UpdateMode) == statuses


@given(harm=st.floats(allow_nan=True), drift=st.floats(allow_nan=True), mode=st.sampled_from([None, *UpdateMode]))
def test_judging_never_raises_and_changes_nothing(harm, drift, mode):
    baseline = Baseline(Path("b.json"), "m", "cpu", "float32", control=ControlFigures(1.0))
    baseline.cases = {CASE.id: {"harm": Entry(0.5, 4)}}
    reference = Reference(baseline, baseline.path, exact=True, tolerances=TOLERANCES, fingerprint=FINGERPRINT)
    verdict = judge(CASE, variant(harm, drift), reference, CONTROL, mode)
    assert verdict.status in Status
    assert baseline.cases == {CASE.id: {"harm": Entry(0.5, 4)}}
    assert judge(CASE, variant(harm, drift), reference, CONTROL, mode).status is verdict.status


def test_the_control_is_judged_on_its_own_figures(reference):
    assert judge_control(CONTROL, reference).status is Status.OK
    worse = replace(CONTROL, summary={"score": 89.0, "seed_sd": 1.0})
    assert judge_control(worse, reference).status is Status.REGRESSION
    assert judge_control(replace(CONTROL, summary={"score": 91.0}), reference).status is Status.STALE
    assert judge_control(worse, reference, UpdateMode.CHANGED).status is Status.UPDATED
    assert judge_control(worse, replace(reference, baseline=None)).status is Status.UNJUDGED


def test_a_control_of_fewer_seeds_is_judged_on_what_was_measured(reference):
    """Where the figures over all seeds are stored ones, comparing them with themselves would say nothing."""
    stored = ControlFigures(1.0, {"score": 90.0, "first_score": 91.0})
    sampling = replace(FINGERPRINT, sampling={"steps": 4, "seeds": 2})
    reference = replace(
        reference,
        baseline=replace(reference.baseline, control=stored),
        tolerances=TOLERANCES,  # that of the score holds
        fingerprint=sampling,
    )
    some = replace(CONTROL, n=4, summary={"first_score": 91.0})
    (check,) = judge_control(some, reference).checks
    assert (check.metric, check.status) == ("first_score", Status.OK)
    assert judge_control(replace(some, summary={"first_score": 90.0}), reference).status is Status.REGRESSION
    wide = replace(reference, tolerances=(*TOLERANCES, Tolerance("*", "first_score", 2.0, 0.0, "t")))
    assert judge_control(replace(some, summary={"first_score": 90.0}), wide).status is Status.OK
    whole = replace(CONTROL, summary={"first_score": 91.0})  # on all seeds, and yet without its score
    assert judge_control(whole, reference).status.red


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"incomparable": "other prompts"}, Status.INCOMPARABLE),
        ({"incomparable": "other prompts", "rigour": Rigour.STRICT}, Status.INCOMPARABLE),
        ({"baseline": None}, Status.UNJUDGED),
        ({"baseline": None, "rigour": Rigour.STRICT}, Status.MISSING),
    ],
)
def test_a_file_that_does_not_apply_is_red_and_in_a_strict_run_one_that_is_not_there(reference, change, status):
    other = replace(reference, **change)
    verdicts = judge(CASE, variant(), other, CONTROL), judge_control(CONTROL, other), judge_latency(CASE, TIMES, other)
    assert {verdict.status for verdict in verdicts} == {status}
    assert Status.INCOMPARABLE.red
    assert all(verdict.notes for verdict in verdicts)


def test_a_window_that_nobody_stored_is_red_in_a_strict_run(reference):
    windowed = replace(CASE, window=(0, 1), steps=4)
    strict = replace(reference, rigour=Rigour.STRICT)
    assert judge(windowed, variant(), strict, CONTROL).status is Status.MISSING


def test_a_gated_figure_that_is_stored_and_was_not_measured_is_red(reference):
    unmeasured = compare(CASE.id, {}, reference.baseline.cases[CASE.id], TOLERANCES)
    assert unmeasured.status is Status.MISSING
    assert [check.metric for check in unmeasured.checks] == ["harm", "latent_drift", "collapsed"]
    assert all(check.source == NOT_MEASURED for check in unmeasured.checks)
    assert accepted(unmeasured, UpdateMode.MISSING).status is Status.MISSING
    assert accepted(unmeasured, UpdateMode.CHANGED).status is Status.UPDATED


def test_an_entry_of_the_tolerances_makes_any_stored_figure_a_gate_and_nothing_else_does(reference):
    stored = {**reference.baseline.cases[CASE.id], "fid_ratio": Entry(1.0, 4), "psnr": Entry(20.0, 4)}
    measured = {**variant().summary, "fid_ratio": 50.0, "psnr": 10.0}
    assert compare(CASE.id, measured, stored, TOLERANCES).status is Status.OK
    for metric in ("fid_ratio", "psnr"):
        more = (*TOLERANCES, Tolerance("*", metric, 0.1, 0.0, "t"))
        assert compare(CASE.id, measured, stored, more).status is Status.REGRESSION
    assert compare(CASE.id, measured, stored, ()).checks == ()


# Order statistics of pairs give the interval; here it is given.
TIMES = Latency((1.0,), (0.5,), batch=4, ratio=2.0, low=1.9, high=2.1, theory=2.0)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "status"),
    [
        (2.0, 1.9, 2.1, Status.OK),
        (1.9, 1.88, 1.92, Status.OK),
        (1.7, 1.5, 1.85, Status.OK),  # a noisy timing, part of which is allowed
        (1.7, 1.65, 1.75, Status.REGRESSION),
        (2.4, 2.3, 2.5, Status.STALE),
        (2.4, 2.1, 2.7, Status.OK),
        (1.0, 0.0, 30.0, Status.OK),  # a timing that says nothing
    ],
)
@pytest.mark.parametrize("device", ["cpu", "nvidia-h200"])
def test_latency_is_red_where_its_whole_interval_is_outside(reference, ratio, low, high, status, device):
    here = replace(reference, fingerprint=replace(FINGERPRINT, device=device))
    reference.baseline.cases[CASE.id]["relative_time"] = Entry(0.5, 12)  # .45 to .55, so 1.82 to 2.22
    verdict = judge_latency(CASE, replace(TIMES, ratio=ratio, low=low, high=high), here)
    assert verdict.status is status
    (check,) = verdict.checks
    assert (check.metric, check.baseline, check.tolerance) == ("relative_time", 0.5, pytest.approx(0.05))


@pytest.mark.parametrize(("ratio", "low", "high"), [(1.7, 1.65, 1.75), (2.4, 2.3, 2.5)])
def test_a_stored_time_that_was_noisy_itself_makes_no_gate_red(reference, ratio, low, high):
    times = replace(TIMES, ratio=ratio, low=low, high=high)
    reference.baseline.cases[CASE.id]["relative_time"] = Entry(0.5, 12, low=0.46, high=0.51)  # .41 to .59
    assert judge_latency(CASE, times, reference).checks[0].tolerance == pytest.approx(0.05 + 0.04)
    assert judge_latency(CASE, times, reference).status is Status.OK
    reference.baseline.cases[CASE.id]["relative_time"] = Entry(0.5, 12, low=0.495, high=0.505)
    assert judge_latency(CASE, times, reference).status.red


def test_times_drawn_from_real_ones_are_rarely_red_twice_and_a_change_by_half_is_found(reference):
    rng = np.random.default_rng(0)
    here = replace(reference, tolerances=(Tolerance("*", "relative_time", 0.0, 0.15, "t"),))
    residuals = real_log_ratios()
    quiet = residuals[np.abs(residuals).max(axis=1) < 0.2]  # 97 of the 174; the others were timed beside other work

    def timed(true, scatter):
        """A latency whose speed-up is ``true``, with the scatter of one real case."""
        found = speed_up(true * np.exp(rng.choice(scatter, 12)), np.ones(12))
        return replace(TIMES, variant=(1.0,) * 12, ratio=found.value, low=found.low, high=found.high)

    def red_twice(stored, now):
        scatter = rng.choice(residuals)
        time = timed(stored, rng.choice(quiet)).relative_time
        reference.baseline.cases[CASE.id]["relative_time"] = Entry(time.value, 12, low=time.low, high=time.high)
        return all(judge_latency(CASE, timed(now, scatter), here).status.red for _ in range(2))

    assert sum(red_twice(1.1, 1.1) for _ in range(3000)) <= 2
    assert sum(red_twice(1.1, 1.1 / 1.5) for _ in range(500)) >= 300


def test_a_time_that_nobody_stored_is_red_in_a_strict_run(reference):
    assert judge_latency(CASE, TIMES, reference).status is Status.UNJUDGED
    assert judge_latency(CASE, TIMES, replace(reference, rigour=Rigour.STRICT)).status is Status.MISSING
    assert judge_latency(CASE, TIMES, reference, UpdateMode.MISSING).status is Status.UPDATED


def test_load_moves_both_sides_and_the_gate_stays_green(reference):
    reference.baseline.cases[CASE.id]["relative_time"] = Entry(0.5, 12)
    loaded = replace(TIMES, control=(9.0,), variant=(4.5,), low=1.2, high=3.5)
    assert judge_latency(CASE, loaded, reference).status is Status.OK


def test_what_is_no_latency_to_compare_with_is_unjudged(reference):
    reference.baseline.cases[CASE.id]["relative_time"] = Entry(0.5, 12)
    assert judge_latency(CASE, TIMES, replace(reference, exact=False)).status is Status.UNJUDGED
    moving = replace(reference, fingerprint=replace(FINGERPRINT, offload="group"))
    assert judge_latency(CASE, TIMES, moving).status is Status.UNJUDGED
    assert judge_latency(CASE, TIMES, replace(reference, tolerances=())).status is Status.UNJUDGED
    reference.baseline.facts = facts(replace(FINGERPRINT, sampling={"batch": 64}))
    assert judge_latency(CASE, TIMES, reference).status is Status.OK  # eight of 64 are timed
    assert judge_latency(CASE, replace(TIMES, batch=1), reference).notes[0].startswith("timed with a batch of 1")


def test_a_stored_mode_is_as_good_as_the_value(reference):
    reference.baseline.cases[CASE.id]["harm"] = Entry(0.986, 4, 0.002, mode=Mode(0.958, ("cpu=avx2",)))
    statuses = {harm: judge(CASE, variant(harm=harm), reference, CONTROL).status for harm in (0.987, 0.957, 0.97, 0.9)}
    assert statuses == {
        0.987: Status.OK,
        0.957: Status.OK,
        0.97: Status.REGRESSION,
        0.9: Status.STALE,
    }


@given(st.lists(st.sampled_from(Status)))
def test_the_gravest_outcome_is_red_where_any_is(statuses):
    assert worst(statuses).red == any(status.red for status in statuses)


@pytest.mark.parametrize("mode", [None, *UpdateMode])
def test_a_refused_judge_is_red_also_without_stored_values_and_in_an_update(reference, mode):
    without = replace(reference, baseline=None)
    for stored in (reference, without):
        for verdict in (
            judge(CASE, replace(variant(), judge_check=FAILED), stored, CONTROL, mode),
            judge_control(replace(CONTROL, judge_check=FAILED), stored, mode),
        ):
            assert verdict.status is Status.REFUSED
            assert verdict.status.red
            assert verdict.notes[-1].startswith("the judge is refused: blank images score higher.")
            assert "--dit-trust-judge" in verdict.notes[-1]


@pytest.mark.parametrize("mode", UpdateMode)
def test_nothing_that_a_refused_judge_scored_is_stored(tmp_path, mode):
    measured = replace(variant(), judge_check=FAILED)
    fingerprint = replace(FINGERPRINT, checkpoint="m")
    verdict = Verdict(Status.REFUSED)
    control = Record.of_control(fingerprint, verdict, replace(CONTROL, judge_check=FAILED))
    case = Record.of(CASE, Kind.QUALITY, fingerprint, verdict, measurement=measured)
    assert update_cases(tmp_path, [control, case], mode) == []
    assert not list(tmp_path.rglob("*.json"))
