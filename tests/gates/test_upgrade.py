"""An upgrade's yes or no, from journals: what moved, where it first did, and what the null run takes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import JournalError
from harness.gates.comparison import Movement
from harness.gates.upgrade import Run, UpgradeVerdict, upgrades
from harness.report.upgrade_page import every
from harness.results.records import Status
from tests.helpers.records import TOLERANCES, quality, raised
from tests.helpers.upgrades import BASE, of_release, under


def one(*runs, null=None):
    (found,) = upgrades(runs, null, TOLERANCES)
    return found


def test_nothing_moved_is_yes():
    found = one(under("0.33"), under("0.35"), under("0.42"), null=under("0.42"))
    assert found.answer is UpgradeVerdict.YES
    assert [(s.old, s.new, s.same, s.figures) for s in found.steps] == [("0.33", "0.35", 6, 6), ("0.35", "0.42", 6, 6)]
    assert found.traces == ()


def test_the_first_release_that_moved_is_named():
    found = one(under("0.33"), under("0.35", 0, 0.4, 0), under("0.42", 0, 0.4, 0))
    assert found.answer is UpgradeVerdict.YES  # the last step moved nothing
    (trace,) = [t for t in found.traces if t.metric == "harm"]
    assert (trace.what, trace.first) == ("s-reverse", "0.35")
    assert trace.values == pytest.approx((0.2, 0.6, 0.6))
    assert trace.baseline == 0.1  # as the records' verdicts have it


@pytest.mark.parametrize(
    ("by", "answer"), [(0.4, UpgradeVerdict.NO), (-0.4, UpgradeVerdict.LOOK), (0.005, UpgradeVerdict.YES)]
)
def test_the_answer_is_about_the_last_step(by, answer):
    found = one(under("0.35"), under("0.42", 0, by, 0))
    assert found.answer is answer
    assert found.steps[0].largest == pytest.approx(abs(by) / TOLERANCES[0].limit(0.2))


def test_a_null_run_that_moved_takes_the_answer_back():
    assert one(under("0.35"), under("0.42"), null=under("0.42", 0.4, 0, 0)).answer is UpgradeVerdict.NOISY


def test_every_figure_of_every_case_is_told():
    found = one(under("0.33"), under("0.35", 0, 0.4, 0), under("0.42", 0, 0.4, 0))
    lines = {(line.what, line.metric): line for line in found.lines}
    assert len(lines) == len(found.lines) == found.steps[0].figures == 6
    reverse = lines["s-reverse", "harm"]
    assert reverse.values == pytest.approx((0.2, 0.6, 0.6))
    assert (reverse.baseline, reverse.moved, reverse.verdict) == (0.1, Movement.WORSE, BASE[1].verdict.status)
    assert lines["s-skip", "harm"].moved is Movement.SAME
    rows = [row for row in every([found]).splitlines() if row.startswith("| s-")]
    assert len(rows) == 6
    assert sum(row.startswith("| s-skip | harm |") for row in rows) == 1


def test_harms_are_told_in_the_first_versions_unit():
    old, new = under("0.35"), under("0.42")
    other = [
        replace(r, measurement=replace(r.measurement, summary={**r.measurement.summary, "seed_sd": 2.0, "harm": 9.9}))
        for r in new.records
    ]
    found = one(old, replace(new, records=other))
    assert found.answer is UpgradeVerdict.YES
    assert all(line.values[0] == pytest.approx(line.values[1]) for line in found.lines if line.metric == "harm")


def test_dtypes_are_apart():
    half = [replace(r, fingerprint=replace(r.fingerprint, dtype="bfloat16")) for r in under("0.42", 0, 0.4, 0).records]
    old = [replace(r, fingerprint=replace(r.fingerprint, dtype="bfloat16")) for r in under("0.35").records]
    found = upgrades(
        [Run("0.35", [*under("0.35").records, *old]), Run("0.42", [*under("0.42").records, *half])], None, TOLERANCES
    )
    assert [(u.dtype, u.answer) for u in found] == [("float32", UpgradeVerdict.YES), ("bfloat16", UpgradeVerdict.NO)]


def half(run):
    """The same run in bfloat16."""
    return [replace(r, fingerprint=replace(r.fingerprint, dtype="bfloat16")) for r in run.records]


def elsewhere(run):
    """The same run of another checkpoint."""
    made = replace(run.records[0].fingerprint, checkpoint="n")
    return [
        replace(r, checkpoint="n", case=r.case.replace("m-", "n-", 1), fingerprint=made, nodeid="") for r in run.records
    ]


NEW = under("0.42").records


@pytest.mark.parametrize(
    ("records", "lost"),
    [
        (NEW[:2], {"s-swap": "missing"}),
        ([*NEW[:2], raised(NEW[2], "TypeError: x")], {"s-swap": "TypeError: x"}),
        ([*NEW[:2], of_release(quality("swap", 0.3, status=Status.NOTHING), "0.42")], {"s-swap": "red: did nothing"}),
        ([], dict.fromkeys(("s-skip", "s-reverse", "s-swap"), "missing")),
    ],
    ids=["missing", "raised", "did nothing", "all missing"],
)
def test_a_case_that_the_new_version_lacks_or_failed_is_no(records, lost):
    found = one(under("0.35"), Run("0.42", records))
    assert found.answer is UpgradeVerdict.NO
    assert {case.what: case.states[-1] for case in found.lost} == lost
    assert (found.cases, len(found.steps[-1].lost)) == (3, len(lost))
    assert {line.what for line in found.lines} == {"s-skip", "s-reverse", "s-swap"}


@pytest.mark.parametrize("more", [half, elsewhere], ids=["dtype", "checkpoint"])
def test_a_dtype_or_a_checkpoint_that_the_new_version_lacks_is_no(more):
    old = Run("0.35", [*under("0.35").records, *more(under("0.35"))])
    kept, gone = upgrades([old, under("0.42")], None, TOLERANCES)
    assert (kept.answer, gone.answer) == (UpgradeVerdict.YES, UpgradeVerdict.NO)
    assert (gone.checkpoint, gone.dtype) in {("m", "bfloat16"), ("n", "float32")}
    assert len(gone.lost) == 3
    # And the other way round there is nothing to compare with, which is no yes either.
    _, added = upgrades([under("0.35"), replace(old, label="0.42")], None, TOLERANCES)
    assert (added.answer, added.lost, added.steps[-1].added) == (UpgradeVerdict.LOOK, (), 3)


def test_a_case_that_only_the_first_version_had_is_lost_too():
    found = one(under("0.33"), *(Run(label, under(label).records[:2]) for label in ("0.35", "0.42")))
    assert [case.states for case in found.lost] == [("measured", "missing", "missing")]
    assert found.answer is UpgradeVerdict.NO


def test_what_failed_before_is_not_the_upgrades_fault_but_no_yes():
    broken = [*BASE[:2], raised(BASE[2], "TypeError: x")]
    found = one(Run("0.35", broken), Run("0.42", broken))
    assert (found.answer, found.lost) == (UpgradeVerdict.LOOK, ())
    assert [case.what for case in found.broken] == ["s-swap"]
    assert one(Run("0.35", broken), under("0.42")).answer is UpgradeVerdict.YES  # the new version fixed it


def test_a_last_run_that_is_not_complete_is_no_although_its_journal_is():
    ended = "pytest ended with exit code 3 (something broke)"
    found = one(under("0.35"), replace(under("0.42"), problems={"float32": ended}))
    assert (found.answer, found.problem) == (UpgradeVerdict.NO, ended)
    assert one(under("0.35"), replace(under("0.42"), problems={"bfloat16": ended})).answer is UpgradeVerdict.YES


def test_a_null_run_that_lacks_cases_takes_the_answer_back():
    assert one(under("0.35"), under("0.42"), null=Run("0.42", BASE[:2])).answer is UpgradeVerdict.NOISY
    crashed = Run("0.42", [], {"float32": "pytest ended with exit code -9 (something broke)"})
    assert one(under("0.35"), under("0.42"), null=crashed).answer is UpgradeVerdict.NOISY


def test_what_is_no_upgrade_is_refused():
    with pytest.raises(JournalError, match="at least two runs"):
        upgrades([under("0.35")], None, TOLERANCES)
    other = Run("0.42", [replace(r, checkpoint="n") for r in BASE])
    with pytest.raises(JournalError, match=r"the first run \(0.35\) has no records"):
        upgrades([Run("0.35", []), under("0.42")], None, TOLERANCES)
    with pytest.raises(JournalError, match="no checkpoint and dtype in common"):
        upgrades([under("0.35"), other], None, TOLERANCES)
