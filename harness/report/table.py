"""A ranking as rows: for people (cells of text) and for programs (a pandas frame, nested JSON)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.ranking import Group, Ranking, Row
from harness.records import Latency

if TYPE_CHECKING:
    import pandas as pd

HEAD = (
    *("#", "tier", "variant", "plan", "harm [sd]", "coll.", "speed-up", "theory", "CLIP", "drift", "checker"),
    *("FID/null", "gate"),
)
GROUP_HEAD = ("stack", "range", "strategy", "cases", "harm [sd]", "speed-up")
NOTHING = "-"


def cells(row: Row, *, short: bool = False) -> tuple[str, ...]:
    """One line of the table, as HEAD. A figure that was not measured is a dash, never a zero.

    ``short`` leaves the intervals of rank and speed-up out, for narrow terminals.
    """
    pareto = "*" if row.pareto else ""
    theory = row.latency.theory if row.latency else None
    return (
        str(row.rank) if short else f"{row.rank} [{row.rank_low}-{row.rank_high}]",
        str(row.tier),
        f"{row.stack}-{row.place}-{row.strategy}" if row.place else f"{row.stack}-{row.strategy}",
        row.plan,
        f"{row.harm:.2f} \u00b1{row.harm_high - row.harm:.2f}",
        str(row.collapsed),
        speed(row.latency, short=short) + pareto,
        number(theory, ".2f"),
        number(row.summary.get("clip_delta"), "+.1f"),
        number(row.summary.get("latent_drift"), ".2f"),
        number(_negative(row.summary.get("grade_loss")), "+.3f"),
        number(row.summary.get("fid_ratio"), ".1f"),
        row.gate.value,
    )


def speed(latency: Latency | None, *, short: bool = False) -> str:
    """``1.23 [1.20, 1.27]``."""
    if latency is None:
        return NOTHING
    return f"{latency.ratio:.2f}" + ("" if short else f" [{latency.low:.2f}, {latency.high:.2f}]")


def group_cells(group: Group) -> tuple[str, ...]:
    """One line of the summary per strategy."""
    return (
        group.stack,
        group.depth,
        group.strategy,
        str(group.cases),
        f"{group.harm:.2f}",
        number(group.speed_up, ".2f"),
    )


def number(value: float | None, form: str) -> str:
    """A figure, or a dash."""
    return NOTHING if value is None or not math.isfinite(value) else format(value, form)


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def frame(rankings: Sequence[Ranking]) -> pd.DataFrame:
    """One row a variant, every figure a column."""
    import pandas as pd

    return pd.DataFrame([flat(ranking, row) for ranking in rankings for row in ranking.rows])


def flat(ranking: Ranking, row: Row) -> dict[str, Any]:
    """A row as one flat mapping."""
    out: dict[str, Any] = {"checkpoint": ranking.checkpoint}
    for field in dataclasses.fields(row):
        if field.name not in ("summary", "latency", "words", "gate"):
            out[field.name] = getattr(row, field.name)
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
        }
    return out


def nested(ranking: Ranking) -> dict[str, Any]:
    """A ranking for JSON; what is not finite becomes null."""
    return _finite(
        {
            "checkpoint": ranking.checkpoint,
            "prompts": ranking.prompts,
            "tiers": ranking.tiers,
            "rows": [flat(ranking, row) for row in ranking.rows],
            "groups": [dataclasses.asdict(group) for group in ranking.groups],
        }
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_finite(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and not math.isfinite(value) else value
