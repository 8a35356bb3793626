"""When a run was made: by its name, which begins with the time unless somebody chose another, or by its journal."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.results.journal import JOURNALS

# 20261122-033649-71f9, nightly-2026-11-22, 20261122: the day, and the time where it follows.
_DAY = re.compile(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)(?:[-T_](\d\d)[:.-]?(\d\d)[:.-]?(\d\d))?(?!\d)")


class DatedBy(enum.StrEnum):
    """Where a date is from."""

    NAME = "name"
    FILE = "file"  # when the journal was last written, which a copy may have changed


@dataclass(frozen=True)
class RunDate:
    """``2026-11-22 03:36``, or a day alone; local time in a name, UTC of a file. Texts sort as the times do."""

    text: str
    source: DatedBy


def date_of(run: Path) -> RunDate:
    """The date of a run folder or journal file. Raises OSError where there is neither a date in the name nor a file."""
    name = (run.parent if run.is_file() else run).absolute().name
    for match in _DAY.finditer(name):
        year, month, day, *time = match.groups()
        try:
            hour, minute, second = (int(part or 0) for part in time)
            when = datetime(int(year), int(month), int(day), hour, minute, second, tzinfo=UTC)
        except ValueError:  # eight digits that are no day
            continue
        return RunDate(f"{when:%Y-%m-%d %H:%M}" if time[0] else f"{when:%Y-%m-%d}", DatedBy.NAME)
    journals = [run] if run.is_file() else sorted(run.glob(JOURNALS))
    written = max(path.stat().st_mtime for path in journals)
    return RunDate(f"{datetime.fromtimestamp(written, UTC):%Y-%m-%d %H:%M}", DatedBy.FILE)
