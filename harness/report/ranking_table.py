"""A ranking as rows: for people (cells of text) and for programs (a pandas frame, nested JSON)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.report.text import NOTHING, number
from harness.results.ranking import HARM, Ranking, Row, StrategySummary
from harness.results.records import Latency

if TYPE_CHECKING:
    import pandas as pd

HEAD = (
    *("#", "tier", "variant", "plan", "harm [sd]", "coll.", "speed-up", "theory", "CLIP", "drift", "checker"),
    *("FID/null", "gate"),
)
GROUP_HEAD = ("stack", "range", "strategy", "cases", "harm [sd]", "speed-up")
# Without images there is nothing to say of quality, and these columns say nothing of it.
SPEED_HEAD = ("#", "variant", "plan", "speed-up", "theory", "memory", "output drift", "surgery", "gate")
SPEED_GROUP_HEAD = ("stack", "range", "strategy", "cases", "speed-up")
# What a row says of quality, in files; a ranking by speed leaves it out.
QUALITY = ("rank_low", "rank_high", "tier", "harm", "harm_low", "harm_high", "collapsed", "pareto")
# Figures of extra metrics that are columns: what follows the metric's name, the heading, how it is written.
EXTRA = {"fid_ratio": ("{} FID/null", ".1f"), "drift": ("{} drift", ".2f"), "delta": ("{} delta", "+.2f")}


def title(ranking: Ranking) -> str:
    """What is ranked by what."""
    if ranking.by == HARM:
        return f"least harmful variant: {ranking.checkpoint} ({ranking.prompts} prompts)"
    if timed(ranking):
        return f"fastest variant, by speed-up (no quality measured): {ranking.checkpoint}"
    return f"not ranked (no latency measured): {ranking.checkpoint}"


def timed(ranking: Ranking) -> bool:
    """Whether any of its variants was."""
    return any(row.latency for row in ranking.rows)


def heads(ranking: Ranking) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of a ranking's table and of its summary per strategy; those that nobody measured are left out."""
    if ranking.by == HARM:
        extra = dict.fromkeys(name for row in ranking.rows for name in extras(row))
        return (*HEAD[:-1], *extra, *HEAD[-1:]), GROUP_HEAD
    rows = [cells(row, head=SPEED_HEAD) for row in ranking.rows]
    groups = [group_cells(group, SPEED_GROUP_HEAD) for group in ranking.groups]
    return _filled(SPEED_HEAD, rows), _filled(SPEED_GROUP_HEAD, groups)


def _filled(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(name for i, name in enumerate(head) if any(row[i] != NOTHING for row in rows))


def cells(row: Row, *, short: bool = False, head: Sequence[str] = HEAD) -> tuple[str, ...]:
    """One line of the table, as ``head``. A figure that was not measured is a dash, never a zero.

    ``short`` leaves the intervals of rank and speed-up out, for narrow terminals.
    """
    figures = row.summary
    texts = {
        "#": str(row.rank) if short or row.rank_low is None else f"{row.rank} [{row.rank_low}-{row.rank_high}]",
        "tier": number(row.tier, "d"),
        "variant": f"{row.stack}-{row.place}-{row.strategy}" if row.place else f"{row.stack}-{row.strategy}",
        "plan": row.plan,
        "harm [sd]": harm(row),
        "coll.": number(row.collapsed, "d"),
        "speed-up": speed(row.latency, short=short) + ("*" if row.pareto else ""),
        "theory": number(row.latency.theory if row.latency else None, ".2f"),
        "memory": memory(row.latency),
        "CLIP": number(figures.get("clip_delta"), "+.1f"),
        "drift": number(figures.get("latent_drift"), ".2f"),
        "output drift": number(figures.get("output_drift"), ".2f"),
        "checker": number(_negative(figures.get("grade_loss")), "+.3f"),
        "FID/null": number(figures.get("fid_ratio"), ".1f"),
        "surgery": NOTHING if "same_as_listed" not in figures else "bitwise" if figures["same_as_listed"] else "trace",
        "gate": row.gate.value,
    } | extras(row)
    return tuple(texts.get(name, NOTHING) for name in head)


def extras(row: Row) -> dict[str, str]:
    """Cells that only some runs have, by column: the worst sentence of long prompts, and extra metrics."""
    out: dict[str, str] = {}
    for key, value in row.summary.items():
        metric, dot, what = key.partition(".")
        if key == "clip_min":
            out["CLIP min"] = number(value, "+.1f")
        elif dot and what in EXTRA:
            name, form = EXTRA[what]
            out[name.format(metric)] = number(value, form)
        elif dot and what.endswith("_loss"):  # of a grade, which is shown as its change
            out[f"{metric} {what.removesuffix('_loss')}"] = number(_negative(value), "+.3f")
    return out


def left_out(ranking: Ranking) -> str:
    """``left out: lpips (no weights ...)``: the metrics that are no columns, by name; nothing where there are none."""
    said = ", ".join(f"{name} ({why})" for name, why in ranking.left_out.items())
    return f"left out: {said}" if said else ""


def harm(row: Row) -> str:
    """``0.42 \u00b10.11``."""
    if row.harm is None or row.harm_high is None:
        return NOTHING
    return f"{row.harm:.2f} \u00b1{row.harm_high - row.harm:.2f}"


def memory(latency: Latency | None) -> str:
    """The peak against the bare model's: ``+0.3 %``."""
    if latency is None or not latency.peak_bytes or not latency.control_peak_bytes:
        return NOTHING
    return f"{100 * (latency.peak_bytes / latency.control_peak_bytes - 1):+.1f} %"


def speed(latency: Latency | None, *, short: bool = False) -> str:
    """``1.23 [1.20, 1.27]``."""
    if latency is None:
        return NOTHING
    return f"{latency.ratio:.2f}" + ("" if short else f" [{latency.low:.2f}, {latency.high:.2f}]")


def group_cells(group: StrategySummary, head: Sequence[str] = GROUP_HEAD) -> tuple[str, ...]:
    """One line of the summary per strategy, as ``head``."""
    texts = {
        "stack": group.stack,
        "range": group.depth,
        "strategy": group.strategy,
        "cases": str(group.cases),
        "harm [sd]": number(group.harm, ".2f"),
        "speed-up": number(group.speed_up, ".2f"),
    }
    return tuple(texts[name] for name in head)


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def frame(rankings: Sequence[Ranking]) -> pd.DataFrame:
    """One row a variant, every figure a column."""
    import pandas as pd

    return pd.DataFrame([flat(ranking, row) for ranking in rankings for row in ranking.rows])


def flat(ranking: Ranking, row: Row) -> dict[str, Any]:
    """A row as one flat mapping."""
    out: dict[str, Any] = {"checkpoint": ranking.checkpoint}
    apart = ("summary", "latency", "words", "gate", *(QUALITY if ranking.by != HARM else ()))
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
        }
    return out


def nested(ranking: Ranking) -> dict[str, Any]:
    """A ranking for JSON; what is not finite becomes null."""
    return _finite(
        {
            "checkpoint": ranking.checkpoint,
            "by": ranking.by,
            "prompts": ranking.prompts,
            "tiers": ranking.tiers,
            "left_out": dict(ranking.left_out),
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
