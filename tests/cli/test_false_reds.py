"""``python -m harness false-reds``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.cli.main import main
from harness.gates.validation.false_reds import false_red_bound
from harness.results.journal import Journal
from harness.results.records import Status
from tests.helpers.records import quality


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
