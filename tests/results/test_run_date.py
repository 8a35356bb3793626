"""When a run was made: by its name, else by its journal."""

from __future__ import annotations

import os

import pytest

from harness.results.journal import FILE
from harness.results.run_date import DatedBy, RunDate, date_of


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("20261122-033649-71f9", "2026-11-22 03:36"),
        ("nightly-2026-11-22", "2026-11-22"),
        ("nightly_2026-11-22T03:36:49", "2026-11-22 03:36"),
        ("v20261399-of-20261122", "2026-11-22"),  # the first is no day
    ],
)
def test_a_name_with_a_day_tells_it(tmp_path, name, text):
    run = tmp_path / name
    run.mkdir()
    (run / FILE).write_text("")
    assert date_of(run) == date_of(run / FILE) == RunDate(text, DatedBy.NAME)


def test_else_the_journal_was_last_written_then(tmp_path):
    run = tmp_path / "release-candidate-120261122345"
    run.mkdir()
    (run / FILE).write_text("")
    os.utime(run / FILE, (1795318609, 1795318609))
    assert date_of(run) == RunDate("2026-11-22 03:36", DatedBy.FILE)
