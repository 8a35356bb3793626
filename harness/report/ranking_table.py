"""A ranking as rows: for people (cells of text) and for programs (a pandas frame, nested JSON)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.report.text import NOTHING, number
from harness.results.columns import extra, strategy_table, table
from harness.results.figure import Column, Figure, RankedBy
from harness.results.ranking import Ranking, Row, StrategySummary

if TYPE_CHECKING:
    import pandas as pd

# What a row says of quality, in files; a ranking by speed leaves it out.
_QUALITY = ("rank_low", "rank_high", "tier", "harm", "harm_low", "harm_high", "collapsed", "pareto")


def title(ranking: Ranking) -> str:
    """What is ranked by what."""
    if ranking.by is RankedBy.HARM and ranking.rows:
        return f"least harmful variant: {ranking.checkpoint} ({ranking.prompts} prompts)"
    if not ranking.rows:
        return f"nothing to rank: {ranking.checkpoint}"
    if timed(ranking):
        return f"fastest variant, by speed-up (no quality measured): {ranking.checkpoint}"
    return f"not ranked (no latency measured): {ranking.checkpoint}"


def timed(ranking: Ranking) -> bool:
    """Whether any of its variants was."""
    return any(row.latency for row in ranking.rows)


def columns_of(ranking: Ranking) -> tuple[Column, ...]:
    """The columns of a ranking's table.

    In a ranking by harm, optional ones and those of extra metrics stand before the last, where any variant has them.
    Without images most figures were not measured: a ranking by speed leaves out the columns that are empty.
    """
    declared = table(ranking.by)
    if ranking.by is RankedBy.SPEED:
        return _filled(declared, [cells(row, declared) for row in ranking.rows])
    measured = dict.fromkeys(name for row in ranking.rows for name in row.summary)
    always = [column for column in declared if not column.optional]
    optional = [column for column in declared if column.optional and column.name in measured]
    extras = [column for column in map(extra, measured) if column is not None and column.tables]
    return (*always[:-1], *optional, *extras, *always[-1:])


def strategy_columns(ranking: Ranking) -> tuple[Column, ...]:
    """The columns of a ranking's summary per strategy; a ranking by speed leaves out those that are empty."""
    columns = strategy_table()
    if ranking.by is RankedBy.HARM:
        return columns
    return _filled(columns, [strategy_cells(group, columns) for group in ranking.groups])


def _filled(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> tuple[Column, ...]:
    return tuple(column for i, column in enumerate(columns) if any(row[i] != NOTHING for row in rows))


def headings(columns: Sequence[Column]) -> tuple[str, ...]:
    """What heads them."""
    return tuple(column.heading for column in columns)


def cells(row: Row, columns: Sequence[Column], *, short: bool = False) -> tuple[str, ...]:
    """One line of the table. A figure that was not measured is a dash, never a zero.

    ``short`` leaves the intervals of rank and speed-up out, for narrow terminals.
    """
    return tuple(_cell(row, column, short=short) for column in columns)


def _cell(row: Row, column: Column, *, short: bool) -> str:
    form = column.form if isinstance(column, Figure) else ""
    if column.name in _WRITTEN:
        return _WRITTEN[column.name](row, form, short)
    value = row.value(column.name)
    if value is not None and isinstance(column, Figure) and column.negated:
        value = 0.0 - value  # and not -value: no minus zero
    return number(value, form)


def _rank(row: Row, _form: str, short: bool) -> str:
    return str(row.rank) if short or row.rank_low is None else f"{row.rank} [{row.rank_low}-{row.rank_high}]"


def _variant(row: Row, _form: str, _short: bool) -> str:
    return f"{row.stack}-{row.place}-{row.strategy}" if row.place else f"{row.stack}-{row.strategy}"


def _harm(row: Row, form: str, _short: bool) -> str:
    """``0.42 \u00b10.11``."""
    if row.harm is None or row.harm_high is None:
        return NOTHING
    return f"{row.harm:{form}} \u00b1{row.harm_high - row.harm:{form}}"


def _speed_up(row: Row, form: str, short: bool) -> str:
    """``1.23 [1.20, 1.27]*``."""
    if row.latency is None:
        return NOTHING
    interval = "" if short else f" [{row.latency.low:{form}}, {row.latency.high:{form}}]"
    return f"{row.latency.ratio:{form}}{interval}" + ("*" if row.pareto else "")


def _memory(row: Row, form: str, _short: bool) -> str:
    """``+0.3 %``."""
    value = row.value("memory")
    return NOTHING if value is None else f"{value:{form}} %"


def _surgery(row: Row, _form: str, _short: bool) -> str:
    same = row.value("same_as_listed")
    return NOTHING if same is None else "bitwise" if same else "trace"


# Columns that are texts, or more than a number. Each is given the figure's format, and whether to be short.
_WRITTEN: Mapping[str, Callable[[Row, str, bool], str]] = {
    "rank": _rank,
    "variant": _variant,
    "plan": lambda row, _form, _short: row.plan,
    "harm": _harm,
    "speed_up": _speed_up,
    "memory": _memory,
    "same_as_listed": _surgery,
    "gate": lambda row, _form, _short: row.gate.value,
}


def left_out(ranking: Ranking) -> str:
    """``left out: lpips (no weights ...)``: the metrics that are no columns, by name; nothing where there are none."""
    said = ", ".join(f"{name} ({why})" for name, why in ranking.left_out.items())
    return f"left out: {said}" if said else ""


def errors(ranking: Ranking) -> list[str]:
    """A title and a line for each case that raised and is not ranked; nothing where there is none."""
    if not ranking.errors:
        return []
    return [
        f"not ranked, as the test raised ({len(ranking.errors)}):",
        *(f"{name}: {line}" for name, line in ranking.errors.items()),
    ]


def foot(ranking: Ranking) -> list[str]:
    """The lines under a table: what is no column, and what the gates compared with."""
    return [*filter(None, [left_out(ranking)]), *ranking.gates]


def strategy_cells(group: StrategySummary, columns: Sequence[Column]) -> tuple[str, ...]:
    """One line of the summary per strategy."""
    values = dataclasses.asdict(group)
    return tuple(
        number(values[column.name], column.form) if isinstance(column, Figure) else str(values[column.name])
        for column in columns
    )


def frame(rankings: Sequence[Ranking]) -> pd.DataFrame:
    """One row a variant, every figure a column."""
    # Here, as most readers of a ranking want no frame.
    import pandas as pd

    return pd.DataFrame([_flat(ranking, row) for ranking in rankings for row in ranking.rows])


def _flat(ranking: Ranking, row: Row) -> dict[str, Any]:
    """A row as one flat mapping."""
    out: dict[str, Any] = {"checkpoint": ranking.checkpoint}
    apart = ("summary", "latency", "words", "gate", *(() if ranking.by is RankedBy.HARM else _QUALITY))
    out |= {f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name not in apart}
    out["words"] = " ".join(row.words)
    out["gate"] = row.gate.value
    out |= row.summary
    if row.latency is not None:
        out |= {
            "speed_up": row.latency.ratio,
            "speed_up_low": row.latency.low,
            "speed_up_high": row.latency.high,
            "theoretical_speed_up": row.latency.theory,
            "peak_bytes": row.latency.peak_bytes,
            "image_speed_up": row.value("image_speed_up"),
            "image_seconds": row.value("image_seconds"),
            "control_image_seconds": row.value("control_image_seconds"),
        }
    return out


def nested(ranking: Ranking) -> dict[str, Any]:
    """A ranking for JSON; what is not finite becomes null."""
    return _finite(
        {
            "checkpoint": ranking.checkpoint,
            "by": ranking.by.value,
            "prompts": ranking.prompts,
            "tiers": ranking.tiers,
            "left_out": dict(ranking.left_out),
            "errors": dict(ranking.errors),
            "gates": list(ranking.gates),
            "rows": [_flat(ranking, row) for row in ranking.rows],
            "groups": [dataclasses.asdict(group) for group in ranking.groups],
        }
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_finite(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and not math.isfinite(value) else value
