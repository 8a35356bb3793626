"""What each variant loses by task, and whether order matters more for some tasks: as Markdown and for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from harness.markdown import markdown_table
from harness.report.text import NOTHING, number
from harness.results.by_task import OrderTable, TaskTable, order_tables, task_tables
from harness.results.ranking import Ranking
from harness.results.records import Record
from harness.results.statistics import Interval

_FORMS: Mapping[str, str] = {"attribute": ".3f", "prompt category": ".2f"}


def task_markdown(records: Sequence[Record], ranking: Ranking) -> list[str]:
    """The lines of both sections for one checkpoint, variants in the order of the ranking; none without tasks."""
    if _refused(ranking):
        return []
    out: list[str] = []
    for table in task_tables(records, ranking.checkpoint):
        form = _FORMS[table.kind]
        out += [
            f"### By {table.kind}",
            "",
            f"Mean {table.unit}, with its 95 % interval over the prompts of a task.",
            "",
        ]
        head = ("variant", *(f"{name} ({n})" for name, n in zip(table.tasks, table.prompts, strict=True)))
        lines = {row.case: (row.case, *(_with_ends(loss, form) for loss in row.losses)) for row in table.rows}
        out += [*markdown_table(head, [lines[row.case] for row in ranking.rows if row.case in lines]), ""]
    for order in order_tables(records, ranking.checkpoint):
        out += _order_lines(order)
    return out


def _order_lines(table: OrderTable) -> list[str]:
    form = _FORMS[table.kind]
    rows = [
        (
            effect.task,
            _with_ends(effect.order, form),
            _with_ends(effect.skip, form),
            _with_ends(effect.share, ".2f"),
            NOTHING if effect.more is None else _with_ends(effect.more, form),
            NOTHING if effect.more_share is None else _with_ends(effect.more_share, ".2f"),
        )
        for effect in table.effects
    ]
    head = (table.kind, "wrong order", "skipped", "share", f"more than {table.reference}", "larger share")
    explained = (
        f"Mean {table.unit}, where the layers of a range run reversed or shuffled, and where they are skipped, over "
        f"{len(table.ranges)} ranges ({', '.join(table.ranges)}). Share is the first over the second. Then how much "
        f"more is lost to a wrong order than of {table.reference}, and how much larger the share is. With 95 % "
        "intervals over prompts, each for itself."
    )
    if table.kind == "attribute":
        explained += (
            " A missing object makes count and relation wrong as a whole, and colour, shape, size and texture by half, "
            "so it is the shares that can be compared."
        )
    title = f"### Does order matter more for some tasks? (by {table.kind})"
    return [title, "", explained, "", *markdown_table(head, rows), ""]


def task_json(records: Sequence[Record], ranking: Ranking) -> dict[str, Any]:
    """The same for JSON: ``by_task`` and ``order_by_task``; an interval is [value, low, high]."""
    if _refused(ranking):
        return {"by_task": [], "order_by_task": []}
    return {
        "by_task": [_table_json(table) for table in task_tables(records, ranking.checkpoint)],
        "order_by_task": [_plain(table) for table in order_tables(records, ranking.checkpoint)],
    }


def _refused(ranking: Ranking) -> bool:
    return ranking.judge_check is not None and ranking.judge_check.refused


def _table_json(table: TaskTable) -> dict[str, Any]:
    return {
        "kind": table.kind,
        "unit": table.unit,
        "prompts": dict(zip(table.tasks, table.prompts, strict=True)),
        "variants": {
            row.case: {task: _plain(loss) for task, loss in zip(table.tasks, row.losses, strict=True)}
            for row in table.rows
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [value.value, value.low, value.high]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _with_ends(loss: Interval, form: str) -> str:
    return f"{number(loss.value, form)} [{number(loss.low, form)}, {number(loss.high, form)}]"
