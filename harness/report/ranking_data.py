"""A ranking for programs: a pandas frame, and nested JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.results.figure import RankedBy
from harness.results.ranking import Ranking
from harness.results.ranking_row import Row

if TYPE_CHECKING:
    import pandas as pd

# What a row says of quality, in files; a ranking by speed leaves it out.
_QUALITY = (
    "rank_low",
    "rank_high",
    "tier",
    "harm",
    "harm_low",
    "harm_high",
    "points_low",
    "points_high",
    "collapsed",
    "pareto",
)


def frame(rankings: Sequence[Ranking]) -> pd.DataFrame:
    """One row a variant, every figure a column."""
    # Here, as most readers of a ranking want no frame.
    import pandas as pd

    return pd.DataFrame([_flat(ranking, row) for ranking in rankings for row in ranking.rows])


def _flat(ranking: Ranking, row: Row) -> dict[str, Any]:
    """A row as one flat mapping."""
    out: dict[str, Any] = {"checkpoint": ranking.checkpoint}
    if ranking.apart:
        out["apart"] = ranking.apart
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
    return finite(
        {
            "checkpoint": ranking.checkpoint,
            **({"apart": ranking.apart} if ranking.apart else {}),
            "by": ranking.by.value,
            "prompts": ranking.prompts,
            "tiers": ranking.tiers,
            "unit": None if ranking.unit is None else dataclasses.asdict(ranking.unit),
            "sampled_batch": ranking.sampled_batch,
            "timed_batch": ranking.timed_batch,
            "left_out": dict(ranking.left_out),
            **({"unmeasured": dict(ranking.unmeasured)} if ranking.unmeasured else {}),
            "judge_check": None if ranking.judge_check is None else dataclasses.asdict(ranking.judge_check),
            "second_opinions": [dataclasses.asdict(opinion) for opinion in ranking.opinions],
            "errors": dict(ranking.errors),
            "gates": list(ranking.gates),
            "rows": [_flat(ranking, row) for row in ranking.rows],
            "groups": [dataclasses.asdict(group) for group in ranking.groups],
        }
    )


def finite(value: Any) -> Any:
    """Nested lists and dicts with null for every number that is not finite, for which JSON has no word."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [finite(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and not math.isfinite(value) else value
