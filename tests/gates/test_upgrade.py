"""An upgrade's yes or no, from journals: what moved, where it first did, and what the null run takes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import JournalError
from harness.gates.comparison import Movement
from harness.gates.upgrade import Run, UpgradeVerdict, upgrades
from harness.report.upgrade_page import every
from tests.helpers.records import TOLERANCES
from tests.helpers.upgrades import BASE, under


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


def test_what_is_no_upgrade_is_refused():
    with pytest.raises(JournalError, match="at least two runs"):
        upgrades([under("0.35")], None, TOLERANCES)
    other = Run("0.42", [replace(r, checkpoint="n") for r in BASE])
    with pytest.raises(JournalError, match="no checkpoint and dtype in common"):
        upgrades([under("0.35"), other], None, TOLERANCES)
