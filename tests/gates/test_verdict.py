"""judge(): which rule decides, without pytest, a model or a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.case import by_hand
from harness.ablation.grid import from_id
from harness.gates.baselines import Baseline, ControlFigures, Entry
from harness.gates.reference import Reference
from harness.gates.tolerances import Tolerance
from harness.gates.update import UpdateMode, update_cases
from harness.gates.verdict import judge, judge_control, judge_latency, worst
from harness.results.fingerprint import Fingerprint
from harness.results.judge_check import JudgeCheck
from harness.results.records import Kind, Latency, Measurement, Record, Status, Verdict

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
TOLERANCES = tuple(Tolerance("*", metric, 0.05, 0.0, "t") for metric in ("harm", "latent_drift", "score"))


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
        ({"incomparable": "measured with other prompts than the baseline"}, CASE, "measured with other prompts"),
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


def test_latency_is_judged_on_the_very_device_alone(reference):
    times = Latency((1.0,), (0.5,), batch=1, ratio=2.0, low=1.9, high=2.1, theory=2.0)
    assert judge_latency(CASE, times, reference).notes == ("latency is only reported on a CPU",)
    gpu = replace(reference, fingerprint=replace(FINGERPRINT, device="nvidia-h200"))
    reference.baseline.cases[CASE.id]["relative_time"] = Entry(0.5, 12)
    assert judge_latency(CASE, times, gpu).status is Status.OK
    assert judge_latency(CASE, replace(times, ratio=1.5), gpu).status is Status.REGRESSION
    assert judge_latency(CASE, times, replace(gpu, exact=False)).status is Status.UNJUDGED
    moving = replace(gpu, fingerprint=replace(gpu.fingerprint, offload="group"))
    assert judge_latency(CASE, times, moving).status is Status.UNJUDGED


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
