"""Two runs side by side: null runs move nothing, a planted change is found, what can't be paired is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.__main__ import main
from harness.errors import JournalError
from harness.gates.comparison import LEVEL, Movement, Strictness, compare
from harness.gates.tolerances import Tolerance
from harness.report.comparison_page import markdown, render
from harness.results.fingerprint import circumstances
from harness.results.journal import Journal
from harness.results.records import Latency
from tests.results.test_records import FINGERPRINT, PROMPTS, quality

TOLERANCES = [Tolerance("*", "harm", 0.01, 0.002, "t"), Tolerance("*", "latent_drift", 0.002, 0.002, "t")]


def shifted(record, by):
    """The record with ``by`` added to every image's harm."""
    measured = record.measurement
    harm = np.asarray(measured.values["harm"]) + by
    return replace(
        record,
        measurement=replace(
            measured,
            values={**measured.values, "harm": tuple(map(float, harm))},
            summary={**measured.summary, "harm": float(harm.mean())},
        ),
    )


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
        return replace(quality("skip", 1.0), kind="latency", measurement=None, latency=latency)

    (near,), (far,) = (one([timed(1.2)], [timed(r)]).changes for r in (1.22, 0.8))
    assert (near.moved, far.moved) == (Movement.WITHIN, Movement.CHANGED)
    assert far.difference.value == pytest.approx(math.log(0.8 / 1.2))


def test_circumstances_name_what_differs():
    other = replace(FINGERPRINT, versions={"torch": "2.16.0", "peft": "1"}, threads=1, sampling={"steps": 8})
    assert circumstances(FINGERPRINT, other) == [
        "threads 2 -> 1",
        "guidance 0.0 -> -",
        "steps 4 -> 8",
        "peft - -> 1",
        "torch 2.15.0 -> 2.16.0",
    ]


@pytest.fixture
def runs(tmp_path):
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    for name, records in (("a", run), ("b", [run[0], shifted(run[1], 0.4)])):
        journal = Journal(tmp_path / name)
        for record in records:
            journal.append(record)
        journal.close()
    (tmp_path / "tolerances.toml").write_text('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 0.01\n')
    return tmp_path


def command(runs, *arguments):
    return main(["compare", *map(str, arguments), "--tolerances", str(runs / "tolerances.toml")])


def test_the_command_prints_what_moved_and_fails_when_asked_to(runs, capsys):
    a, b = runs / "a", runs / "b"
    assert command(runs, a, b) == 0
    text = capsys.readouterr().out
    assert "s-reverse" in text
    assert "s-skip" not in text
    assert command(runs, a, b, "--fail-on-regression", "--markdown", runs / "out.md") == 1
    assert "| s-reverse | harm | 0.2 | 0.6 |" in (runs / "out.md").read_text()
    assert command(runs, b, a, "--fail-on-regression") == 0  # better is no regression
    assert command(runs, a, a, "--all", "--fail-on-regression") == 0
    assert "s-skip" in capsys.readouterr().out


def test_what_counts_as_a_difference_can_be_chosen(runs):
    a, b = runs / "a", runs / "b"
    # The worse, its reverse, a little inside the tolerance, and the very same.
    nearly = shifted(quality("reverse", 0.2), 0.001)
    journal = Journal(runs / "c")
    for record in (quality("skip", 1.0), nearly):
        journal.append(record)
    journal.close()
    expected = {(a, b): (1, 1, 1), (b, a): (0, 1, 1), (a, runs / "c"): (0, 0, 1), (a, a): (0, 0, 0)}
    for (one, other), codes in expected.items():
        found = tuple(command(runs, one, other, "--fail-on", how) for how in ("regression", "change", "bits"))
        assert found == codes, (one.name, other.name)


def test_a_case_that_only_one_run_has_is_a_change():
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    (found,) = compare(run, run[:1], TOLERANCES)
    assert found.differs(Strictness.CHANGE)
    assert not found.differs(Strictness.REGRESSION)


def test_bad_input_is_one_line(runs, capsys):
    assert command(runs, runs / "a", runs / "nowhere") == 4
    assert "no journal in" in capsys.readouterr().err
    assert main(["compare", str(runs / "a"), str(runs / "b"), "--tolerances", str(runs / "none.toml")]) == 4
    assert "give --tolerances FILE" in capsys.readouterr().err


def test_both_renderings_hold_the_same_rows(runs):
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    found = compare(run, [run[0], shifted(run[1], 0.4)], TOLERANCES)
    for text in (markdown(found), render(found, 200, colour=False)):
        assert "s-reverse" in text
        assert "worse" in text
        assert "s-skip" not in text
