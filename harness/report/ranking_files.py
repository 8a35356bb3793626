"""The files of a run: the HTML page, ``ranking.{md,csv,json}``, figures and the contact sheet, from records alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import refuse
from harness.files import write_each
from harness.report.contact_sheet import write_sheets
from harness.report.findings_files import JSONL as FINDINGS
from harness.report.html.report_page import write_report
from harness.report.ranking_data import finite, frame, nested
from harness.report.ranking_figures import write_figures
from harness.report.ranking_page import markdown
from harness.report.same_cost_section import same_cost_json
from harness.report.task_section import task_json
from harness.report.text import spreadsheet_text
from harness.results.ranking import rank
from harness.results.records import Record

_RANKING = "ranking"


def write_ranking(folder: Path, records: Sequence[Record], problem: Callable[[str], None] = refuse) -> list[Path]:
    """Write the reports of a run into its folder; the paths of what was written.

    Where there is nothing to rank, a page says what is red; where nothing is, there is the HTML page alone if the
    folder holds findings, and no file if it doesn't. ``problem`` is
    called with a line for each file that can't be written, and for each picture that can't be read: the
    others are written all the same; without it, HarnessError is raised for the first of them.
    """
    rankings = rank(records)
    if not rankings and not any(record.verdict.status.red for record in records):
        return write_report(folder, records, rankings, problem) if (folder / FINDINGS).is_file() else []
    numbers: list[Path] = []
    if rankings:
        own = [(ranking, ranking.own(records)) for ranking in rankings]
        data = [nested(r) | finite(same_cost_json(mine, r) | task_json(mine, r)) for r, mine in own]
        table = frame(rankings).map(spreadsheet_text).to_csv(index=False, float_format="%.6g")
        nested_text = json.dumps(data, indent=2, allow_nan=False) + "\n"
        numbers = write_each({folder / f"{_RANKING}.csv": table, folder / f"{_RANKING}.json": nested_text}, problem)
    # The numbers before the pictures, and the page after them, since it shows those that could be written.
    figures = write_figures(folder, rankings, problem)
    page = write_each({folder / f"{_RANKING}.md": markdown(records, rankings, figures)}, problem)
    pictures = [*(path for paths in figures for path in paths.values()), *write_sheets(folder, rankings, problem)]
    return [*page, *numbers, *pictures, *write_report(folder, records, rankings, problem)]
