"""An upgrade's yes or no, from journals: what moved, where it first did, and what the null run takes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.__main__ import main
from harness.errors import JournalError
from harness.gates.comparison import Movement
from harness.gates.upgrade import Run, UpgradeVerdict, upgrades, versions
from harness.report.upgrade_page import every, markdown
from harness.results.journal import Journal
from tests.helpers.records import FINGERPRINT, TOLERANCES, quality, shifted

BASE = [quality("skip", 1.0), quality("reverse", 0.2), quality("swap", 0.3)]


def under(label, *changes):
    """A run of the same cases, each moved by so much."""
    moved = [shifted(r, by) if by else r for r, by in zip(BASE, changes or (0,) * 3, strict=True)]
    made = replace(FINGERPRINT, versions={"diffusers": label})
    return Run(label, [replace(r, fingerprint=made) for r in moved])


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


def test_the_page_has_the_answer_first():
    runs = [under("0.33"), under("0.35", 0, 0.4, 0)]
    text = markdown(upgrades(runs, under("0.35", 0, 0.4, 0), TOLERANCES), versions(runs))
    lines = text.splitlines()
    assert lines[2] == "- **m, float32: no** (something got surely worse than its tolerance allows)"
    assert "| 0.33 | - | 0.33 | - |" in lines
    assert any(line.startswith("| s-reverse | harm | 0.1 | 0.2 | 0.6 |") and "0.35" in line for line in lines)
    assert any("(null run)" in line for line in lines)


@pytest.fixture
def journals(tmp_path):
    for run in (under("0.35"), under("0.42", 0, 0.4, 0)):
        journal = Journal(tmp_path / run.label)
        for record in run.records:
            journal.append(record)
        journal.close()
    (tmp_path / "t.toml").write_text('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 0.01\n')
    return tmp_path


def command(journals, *arguments):
    return main(["upgrade", *map(str, arguments), "--tolerances", str(journals / "t.toml")])


def test_the_command(journals, capsys):
    old, new = (f"{label}={journals / label}" for label in ("0.35", "0.42"))
    assert command(journals, old, new, "--markdown", journals / "out.md", "--every", journals / "every.md") == 0
    assert "| s-skip | harm |" in (journals / "every.md").read_text()
    assert "**m, float32: no**" in capsys.readouterr().out
    assert (journals / "out.md").read_text().startswith("# Upgrade check")
    assert command(journals, old, new, "--fail-on-regression") == 1
    assert command(journals, new, new.replace("0.42=", "again="), "--fail-on-regression") == 0
    assert command(journals, old, "0.42") == 4
    assert "is no LABEL=RUN" in capsys.readouterr().err
