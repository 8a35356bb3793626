"""One case of a run as JSON for the page: its row, its verdicts, its prompts, its plan, its pictures."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ablation.ranges import DEPTHS
from harness.errors import printable
from harness.report.failure import check_line, headline
from harness.report.html.changes import check_data
from harness.report.html.command import command
from harness.report.html.plan_lane import lane, read_plan
from harness.report.image_sheet import sheet_path
from harness.report.prompt_picture import picture_path
from harness.report.ranking_table import cells, variant_name
from harness.report.text import number
from harness.results.columns import unit
from harness.results.figure import Column, Figure
from harness.results.harm import harm_by_prompt
from harness.results.latency import Latency
from harness.results.ranking_row import Row
from harness.results.records import Kind, Measurement, Record
from harness.results.removal import leaves_out_blocks, single_block
from harness.results.same_cost import way_of

_LONGEST = 20_000  # characters of a failure's message
_FOLDER = Path()  # of the run: only the names of files are asked for
_WITHOUT_SHEETS = ("prompts", "strip")  # pictures that need no other one beside them


@dataclass(frozen=True)
class CaseParts:
    """All that a run holds of a case: its row in the ranking where it has one, and its records, quality first."""

    case: str
    row: Row | None
    records: tuple[Record, ...]


def case_data(parts: CaseParts, columns: Sequence[Column], pictures: Collection[str]) -> dict[str, Any]:
    """The case as JSON. ``columns`` are those of its ranking, ``pictures`` the names of files in the run's images."""
    first, row = parts.records[0], parts.row
    plan = read_plan(first.plan)
    prefix = f"{first.checkpoint}-"
    return {
        "case": parts.case,
        "name": variant_name(row) if row is not None else printable(parts.case.removeprefix(prefix)),
        "kind": first.kind.value,
        "way": way_of(first.words, first.strategy),
        "stack": printable(first.stack),
        "place": printable(first.place),
        "range": next((word for word in first.words if word in DEPTHS), printable(first.place) or "whole model"),
        "strategy": printable(row.strategy if row is not None else first.strategy),
        "base": printable(first.strategy.split("+")[0].split(".")[0]),
        "plan": printable(first.plan),
        "lane": None if plan is None else lane(plan),
        "single": None if row is None else single_block(row),
        "removes": row is not None and leaves_out_blocks(row),
        "pareto": row is not None and row.pareto,
        "gate": (row.gate if row is not None else first.verdict.status).value,
        "red": any(record.verdict.status.red for record in parts.records),
        "cells": None if row is None else cells(row, columns),
        "sort": None if row is None else [_sortable(row, column) for column in columns],
        "interval": None if row is None else _points(row),
        "prompts": _prompts(first.measurement),
        "subset": _subset(first.measurement),
        "results": [_result(record) for record in parts.records],
        "figures": _figures(first.measurement),
        "latency": next((_latency(r.latency) for r in parts.records if r.latency is not None), None),
        "pictures": _pictures(parts.case, first, pictures),
    }


def _sortable(row: Row, column: Column) -> float | str | None:
    """What the table sorts a row by in a column; None, which comes last, where there is nothing."""
    if column.name == "gate":
        return row.gate.value
    if column.name == "plan":
        return printable(row.plan)
    if column.name == "variant":
        return variant_name(row)
    value = row.value(column.name)
    if value is None or not math.isfinite(value):
        return None
    return 0.0 - value if isinstance(column, Figure) and column.negated else value


def _points(row: Row) -> dict[str, Any]:
    """What the figures draw: harm in points and speed-up with their intervals, where they are known."""
    change, latency = row.value("clip_delta"), row.latency
    harm = None if change is None else [0.0 - change, row.points_low, row.points_high]
    return {
        "harm": harm,
        "speed": None if latency is None else [latency.ratio, latency.low, latency.high],
        "lost": row.value("lost_percent"),
    }


def _prompts(measured: Measurement | None) -> list[float] | None:
    """Harm in sd of each prompt, in the order of the measurement."""
    if measured is None or not measured.values.get("harm") or not measured.summary.get("seed_sd"):
        return None
    harms = harm_by_prompt(measured)
    return [round(float(harm), 4) if math.isfinite(harm) else math.nan for harm in harms]


def _subset(measured: Measurement | None) -> list[int] | None:
    partial = measured is not None and measured.subset is not None and measured.partial
    return list(measured.subset.indices) if partial and measured and measured.subset else None


def _result(record: Record) -> dict[str, Any]:
    """The verdict of one test of the case."""
    verdict = record.verdict
    message = record.failure or (
        "\n".join([headline(verdict), *map(check_line, verdict.checks)]) if verdict.status.red else ""
    )
    return {
        "kind": record.kind.value,
        "status": verdict.status.value,
        "red": verdict.status.red,
        "headline": printable(message.partition("\n")[0]) if verdict.status.red else "",
        "message": "\n".join(map(printable, message[:_LONGEST].split("\n"))),
        "notes": [printable(note) for note in verdict.notes],
        "checks": [check_data(check) for check in verdict.checks],
        "command": command(record),
    }


def _figures(measured: Measurement | None) -> list[list[str]]:
    """Every figure of the measurement: [name, value, unit]."""
    if measured is None:
        return []
    return [
        [printable(name.replace("_", " ")), number(value, ".5g"), unit(name)]
        for name, value in sorted(measured.summary.items())
    ]


def _latency(latency: Latency) -> dict[str, Any]:
    return {
        "control": [round(1000 * seconds, 4) for seconds in latency.control],
        "variant": [round(1000 * seconds, 4) for seconds in latency.variant],
        "batch": latency.batch,
        "ratio": latency.ratio,
        "low": latency.low,
        "high": latency.high,
        "theory": latency.theory,
        "peak": latency.peak_bytes,
        "control_peak": latency.control_peak_bytes,
    }


def _pictures(case: str, record: Record, names: Collection[str]) -> dict[str, str]:
    """The files of a case's pictures that are there, by what they show. A case's name is never a path."""
    if record.kind is Kind.LATENCY or not names:
        return {}
    control = f"{record.checkpoint}-control"
    files = {
        "sheet": sheet_path(_FOLDER, case).name,
        "control": sheet_path(_FOLDER, control).name,
        "prompts": picture_path(_FOLDER, case).name,
        "strip": f"{case}.png",
    }
    kept = {what: name for what, name in files.items() if name in names}
    return kept if "sheet" in kept and "control" in kept else {k: v for k, v in kept.items() if k in _WITHOUT_SHEETS}
