"""Two runs side by side: null runs move nothing, a planted change is found, what can't be paired is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import JournalError
from harness.gates.comparison import LEVEL, Movement, Strictness, compare
from harness.results.latency import Latency
from harness.results.records import Kind, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, PROMPTS, TOLERANCES, latency, quality, raised, shifted


def one(records, others, tolerances=TOLERANCES):
    (found,) = compare(records, others, tolerances)
    return found


def harms(comparison):
    return {c.what: c for c in comparison.changes if c.metric == "harm"}


def test_a_run_against_itself_is_the_same():
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    found = one(run, run)
    assert {c.moved for c in found.changes} == {Movement.SAME}
    assert not found.differs(Strictness.REGRESSION)
    assert found.circumstances == ()


def test_a_sure_loss_is_worse_and_comes_first():
    run = [quality("skip", 1.0), quality("reverse", 0.2), quality("swap", 0.3)]
    found = one(run, [run[0], shifted(run[1], 0.3), shifted(run[2], -0.3)])
    assert [c.what for c in found.changes if c.metric == "harm"] == ["s-reverse", "s-swap", "s-skip"]
    assert [c.moved for c in harms(found).values()] == [Movement.WORSE, Movement.BETTER, Movement.SAME]
    assert found.differs(Strictness.REGRESSION)
    worse = harms(found)["s-reverse"]
    assert worse.difference.value == pytest.approx(0.3)
    assert worse.a == pytest.approx(0.2)
    assert worse.b == pytest.approx(0.5)


def test_less_than_the_tolerance_is_within_it():
    run = [quality("skip", 1.0)]
    found = one(run, [shifted(run[0], 0.011)])
    assert harms(found)["s-skip"].moved is Movement.WITHIN
    assert harms(one(run, [shifted(run[0], 0.0121)]))["s-skip"].moved is Movement.WORSE


def test_beyond_the_tolerance_but_not_sure_is_changed():
    run = [quality("skip", 1.0)]
    noise = np.random.default_rng(1).normal(size=PROMPTS)
    found = one(run, [shifted(run[0], 0.02 + (noise - noise.mean()))])
    change = harms(found)["s-skip"]
    assert change.moved is Movement.CHANGED
    assert change.p > LEVEL
    assert change.difference.low < 0 < change.difference.high
    assert not found.differs(Strictness.REGRESSION)


def test_null_runs_rarely_cry_wolf():
    """Variants whose images moved at random, with no mean: one comparison in twenty may call any of them worse."""
    run = [quality(f"v{i}", 1.0) for i in range(10)]
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found = one(run, [shifted(r, rng.normal(size=PROMPTS)) for r in run])
        alarms += any(c.moved in (Movement.WORSE, Movement.BETTER) for c in found.changes)
    assert alarms <= 11  # 97.5 % quantile of a binomial of 100 at .05, and a little


def test_the_unit_is_the_first_runs():
    """A control that changed must not rescale the harms that are compared."""
    run = [quality("skip", 1.0)]
    other = replace(run[0].measurement, summary={**run[0].measurement.summary, "seed_sd": 5.0})
    assert harms(one(run, [replace(run[0], measurement=other)]))["s-skip"].difference.value == 0


def test_what_only_one_run_has_is_said():
    found = one([quality("skip", 1.0), quality("swap", 1.0)], [quality("skip", 1.0), quality("reverse", 0.1)])
    assert {c.what: c.moved for c in found.changes if c.metric == "quality"} == {
        "s-swap": Movement.GONE,
        "s-reverse": Movement.NEW,
    }


def test_two_checkpoints_are_matched_where_each_run_has_one():
    run = [quality("skip", 1.0)]
    tuned = [replace(r, checkpoint="m-lora-1", case=r.case.replace("m-", "m-lora-1-", 1)) for r in run]
    tuned = [replace(r, fingerprint=replace(FINGERPRINT, checkpoint="m-lora-1", weights="v")) for r in tuned]
    found = one(run, tuned)
    assert (found.a, found.b) == ("m", "m-lora-1")
    assert harms(found)["s-skip"].moved is Movement.SAME
    assert found.circumstances == ("checkpoint m -> m-lora-1", "weights w -> v")
    with pytest.raises(JournalError, match="no checkpoint in common: one has m, n, the other m-lora-1"):
        compare([*run, replace(run[0], checkpoint="n")], tuned, TOLERANCES)


@pytest.mark.parametrize("name", ["prompts", "judge"])
def test_what_was_measured_otherwise_is_refused(name):
    run = [quality("skip", 1.0)]
    other = [replace(run[0], fingerprint=replace(FINGERPRINT, **{name: "other"}))]
    with pytest.raises(JournalError, match=f"can't be paired: measured with other {name}"):
        compare(run, other, TOLERANCES)


def test_speed_ups_are_compared_by_their_intervals_and_never_fail():
    def timed(ratio):
        latency = Latency((1.0,) * 8, (1 / ratio,) * 8, 8, ratio, ratio * 0.97, ratio * 1.03, 1.5)
        return replace(quality("skip", 1.0), kind=Kind.LATENCY, measurement=None, latency=latency)

    (near,), (far,) = (one([timed(1.2)], [timed(r)]).changes for r in (1.22, 0.8))
    assert (near.moved, far.moved) == (Movement.WITHIN, Movement.CHANGED)
    assert far.difference.value == pytest.approx(math.log(0.8 / 1.2))


def test_a_case_that_only_one_run_has_is_a_change():
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    (found,) = compare(run, run[:1], TOLERANCES)
    assert found.differs(Strictness.CHANGE)
    assert found.differs(Strictness.REGRESSION)
    (added,) = compare(run[:1], run, TOLERANCES)
    assert added.differs(Strictness.CHANGE)
    assert not added.differs(Strictness.REGRESSION)


def test_a_checkpoint_that_only_one_run_has_is_gone_or_new():
    other = [
        replace(r, checkpoint="n", case=r.case.replace("m-", "n-", 1), fingerprint=replace(FINGERPRINT, checkpoint="n"))
        for r in (quality("skip", 1.0),)
    ]
    both, gone = compare([quality("skip", 1.0), *other], [quality("skip", 1.0)], TOLERANCES)
    assert {c.moved for c in both.changes} == {Movement.SAME}
    assert [(gone.a, c.what, c.moved) for c in gone.changes] == [("n", "s-skip", Movement.GONE)]
    _, new = compare([quality("skip", 1.0)], [quality("skip", 1.0), *other], TOLERANCES)
    assert [c.moved for c in new.changes] == [Movement.NEW]
    assert not new.differs(Strictness.REGRESSION)


def test_a_case_that_raised_failed_unless_it_did_before():
    run = [quality("skip", 1.0)]
    broken = [raised(run[0], "TypeError: forward() missing 1 argument")]
    found = one(run, broken)
    assert [(c.what, c.moved, c.why) for c in found.changes] == [
        ("s-skip", Movement.FAILED, "TypeError: forward() missing 1 argument")
    ]
    assert found.differs(Strictness.REGRESSION)
    assert one(broken, broken).changes == ()
    assert not one(broken, run).differs(Strictness.REGRESSION)


@pytest.mark.parametrize("status", [s for s in Status if s.red])
def test_a_case_whose_gate_turned_red_failed(status):
    found = one([quality("skip", 1.0)], [quality("skip", 1.0, status=status)])
    assert [c.moved for c in found.changes if c.metric == "quality"] == [Movement.FAILED]
    assert found.differs(Strictness.REGRESSION)
    red = [quality("skip", 1.0, status=status)]
    assert not one(red, red).differs(Strictness.REGRESSION)


def test_a_test_of_the_control_that_raised_failed_although_no_record_says_that_it_passed():
    run = [quality("skip", 1.0)]
    error = Record.of_control(FINGERPRINT, Verdict(Status.ERROR, notes=("AssertionError",)), None, test="test_identity")
    (change,) = [c for c in one(run, [*run, error]).changes if c.moved is Movement.FAILED]
    assert (change.what, change.metric, change.why) == ("control[test_identity]", "control", "AssertionError")


def test_a_figure_that_vanished_is_gone():
    without = quality("skip", 1.0)
    summary = without.measurement.summary
    run = [replace(without, measurement=replace(without.measurement, summary={**summary, "latent_drift": 0.5}))]
    found = one(run, [replace(run[0], measurement=replace(run[0].measurement, summary=summary))])
    assert [(c.metric, c.moved) for c in found.changes if c.moved is not Movement.SAME] == [
        ("latent_drift", Movement.GONE)
    ]
    assert found.differs(Strictness.REGRESSION)


def test_a_timing_that_was_not_made_is_gone():
    made = latency("skip", 1.2)
    not_made = replace(
        made, latency=None, verdict=Verdict(Status.UNJUDGED, notes=("not measured: benchmarks are off",))
    )
    (change,) = one([made], [not_made]).changes
    assert (change.moved, change.why) == (Movement.GONE, "not measured: benchmarks are off")


def test_a_run_of_two_measurements_is_not_compared():
    a = [quality("a", 0.5), quality("b", 0.5)]
    mixed = [a[0], replace(a[1], fingerprint=replace(a[1].fingerprint, dtype="bfloat16"))]
    with pytest.raises(JournalError, match=r"measured differently \(dtype float32 -> bfloat16\), from two runs under"):
        compare(a, mixed, TOLERANCES)


@pytest.mark.parametrize("side", [0, 1])
def test_a_harm_that_is_no_number_is_one_line(side):
    runs = [[quality("a", 0.5)], [quality("a", 0.5)]]
    runs[side] = [quality("a", float("nan"))]
    with pytest.raises(JournalError, match=r"m-s-a can't be compared: its harm was not measured, or is no number"):
        compare(*runs, TOLERANCES)
