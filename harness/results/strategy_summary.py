"""Strategies compared over equal ranges: the medians of their variants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.ablation import guidance, steps
from harness.results.ranking_row import Row


@dataclass(frozen=True)
class StrategySummary:
    """One strategy over equal ranges: medians over the checkpoints' places it was run on."""

    stack: str
    depth: str
    strategy: str
    cases: int
    clip_delta: float | None
    harm: float | None
    speed_up: float | None


def by_strategy(rows: Sequence[Row]) -> tuple[StrategySummary, ...]:
    """Median harm per strategy within equal ranges; seeds and loops of one strategy stay apart from others."""
    keyed: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        depth = row.words[0] if row.words and row.words[0] not in (steps.WORD, guidance.WORD) else "other"
        # Shuffles are one distribution over seeds; loops are another strategy, and so is another window or pass.
        name = re.sub(r"\.s\d+", "", row.strategy)
        keyed.setdefault((row.stack, depth, name), []).append(row)
    groups: list[StrategySummary] = []
    for (stack, depth, name), members in keyed.items():
        speeds = [m.latency.ratio for m in members if m.latency is not None]
        harms = [m.harm for m in members if m.harm is not None]
        deltas = [m.summary["clip_delta"] for m in members if "clip_delta" in m.summary]
        groups.append(
            StrategySummary(
                stack=stack,
                depth=depth,
                strategy=name,
                cases=len(members),
                clip_delta=float(np.median(deltas)) if deltas else None,
                harm=float(np.median(harms)) if harms else None,
                speed_up=float(np.median(speeds)) if speeds else None,
            )
        )
    return tuple(sorted(groups, key=lambda g: (g.stack, g.depth, -(g.speed_up or 0.0) if g.harm is None else g.harm)))
