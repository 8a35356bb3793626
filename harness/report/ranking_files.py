"""The files of a ranking: ``ranking.{md,csv,json}`` and the contact sheet, from records alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.files import write_atomically
from harness.report.contact_sheet import write_sheets
from harness.report.ranking_page import markdown
from harness.report.ranking_table import finite, frame, nested
from harness.report.task_section import task_json
from harness.results.ranking import rank
from harness.results.records import Record

_RANKING = "ranking"


def write_ranking(folder: Path, records: Sequence[Record]) -> list[Path]:
    """Write the reports of a run into its folder; the paths of what was written."""
    rankings = rank(records)
    if not rankings:
        return []
    text = json.dumps([nested(r) | finite(task_json(records, r)) for r in rankings], indent=2, allow_nan=False) + "\n"
    texts = {
        "md": markdown(records, rankings),
        "csv": frame(rankings).to_csv(index=False, float_format="%.6g"),
        "json": text,
    }
    for ending, content in texts.items():
        write_atomically(folder / f"{_RANKING}.{ending}", content)
    return [*(folder / f"{_RANKING}.{ending}" for ending in texts), *write_sheets(folder, rankings)]
