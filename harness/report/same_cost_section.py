"""Leaving out blocks against fewer steps and residual reuse at the same cost, of one run: as Markdown and for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from harness.ablation.same_cost import SPEED_UPS
from harness.markdown import markdown_table
from harness.report.rivals_page import LEGEND, rows
from harness.results.figure import RankedBy
from harness.results.matched_compute import FEWER_STEPS, REUSE
from harness.results.ranking import Ranking
from harness.results.records import Record
from harness.results.same_cost import same_cost, way_of

_HEAD = ("speed-up", "kind", "variant", "its speed-up", "harm (sd)", "more than the plan (sd)")
_NO_RIVALS = (
    "Whether fewer steps or reused residuals save as much at less harm was not measured in this run: "
    "`python -m harness rivals CHECKPOINT` does, and so do whole runs of a case file, such as `pytest cases/ -k flux`."
)


_NO_PLAN = (
    f"No plan of this run is {min(SPEED_UPS):g} times as fast in theory, so none is compared with fewer steps and "
    "reused residuals at the same cost."
)


def same_cost_markdown(records: Sequence[Record], ranking: Ranking) -> list[str]:
    """The lines of the section; where the run has no rivals of its plans, how to measure them."""
    matches = same_cost(records, ranking)
    if not matches:
        unmatched = ranking.by is RankedBy.HARM and any(row.latency is not None for row in ranking.removals)
        rivals = any(way_of(row.words, row.strategy) in (FEWER_STEPS, REUSE) for row in ranking.rows if row.latency)
        return [_NO_PLAN if rivals else _NO_RIVALS, ""] if unmatched else []
    return ["### At the same cost", "", *markdown_table(_HEAD, rows(matches)), "", LEGEND, ""]


def same_cost_json(records: Sequence[Record], ranking: Ranking) -> dict[str, Any]:
    """``{"same_cost": [...]}``, what each kind is worth at each speed-up; nothing without a section."""
    matches = same_cost(records, ranking)
    return {"same_cost": [dataclasses.asdict(match) for match in matches]} if matches else {}
