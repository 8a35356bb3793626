"""The end of a run: the ranked table, the findings, where the reports are, and stored values that nothing asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.ablation.guidance import split
from harness.errors import HarnessError
from harness.findings.claim import from_json
from harness.plugin.options import Options
from harness.report import findings_page
from harness.report.findings_files import add_findings
from harness.report.ranking_files import write_ranking
from harness.report.ranking_terminal import render
from harness.report.text import relative
from harness.results.journal import latest, read
from harness.results.records import Record


class Section(NamedTuple):
    """A part of the summary: its text, as wide as the terminal, and the files that hold the same."""

    text: str = ""
    files: Sequence[Path] = ()


def ranking(
    folder: Path,
    session: Sequence[Record],
    width: int,
    colour: bool,
    problem: Callable[[str], None],
    columns: Collection[str] = (),
) -> Section:
    """Rank the journal in a run folder together with the records of this session, and write the reports there.

    A run that goes on under the same id finds the records of its earlier part in the journal, and the session's own
    are ranked even where that could not be written. ``problem`` is called with a line for all that can't be read or
    written. ``columns`` are what was asked for beside those that a terminal's table always has: their names, and
    those of extra metrics.
    """
    try:
        stored = read(folder, left_out=problem)
    except HarnessError as error:
        problem(str(error))
        stored = []
    records = latest([*stored, *session])
    return Section(render(records, width, colour, columns), write_ranking(folder, records, problem))


def findings(
    folder: Path, data: Sequence[Mapping[str, Any]], width: int, colour: bool, problem: Callable[[str], None]
) -> Section:
    """The table of findings, which are given as JSON, and write them into a run folder, beside those in it.

    ``problem`` is called with a line for each file that can't be read or written.
    """
    if not data:
        return Section()
    table = [from_json(finding) for finding in data]
    written = add_findings(folder, table, problem)
    return Section(findings_page.render(table, width, colour), written)


def file_lines(files: Sequence[Path], start: Path) -> list[str]:
    """A line for each file that was written, with its path from the folder that pytest was started in."""
    return [f"wrote {relative(path, start)}" for path in files]


def unused_lines(
    stored: Mapping[str, Collection[str]], collected: Mapping[str, Collection[str]], options: Options
) -> list[str]:
    """A line for each baseline with cases that no test asks for, although the case file's own grid was collected.

    ``stored`` and ``collected`` are ids of cases by checkpoint, the latter before ``-k``. Nothing is said where options
    replace the case file's grid.
    """
    if options.has_grid or options.plans or options.checkpoint or options.windows or options.passes or options.groups:
        return []
    lines: list[str] = []
    for name, cases in stored.items():
        # A window of steps or a pass is stored by whoever wants it, and no case file asks for one by itself.
        unused = sorted(
            case for case in cases if split(case)[1:] == (None, None) and case not in collected.get(name, ())
        )
        if unused and collected.get(name):
            lines.append(f"baseline of {name}: {len(unused)} entries that no collected case asks for: {unused}")
    return lines
