"""From records to the ranked table: a pure function, so that a journal ranks the same on any machine."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from harness.ablation.steps import WORD, suffix
from harness.results.columns import in_files
from harness.results.figure import RankedBy
from harness.results.gate_lines import gate_lines
from harness.results.records import Kind, Latency, Measurement, Record, Status
from harness.results.statistics import by_prompt, mean_interval, rank_intervals


@dataclass(frozen=True)
class Row:
    """One variant. Harm is in units of the control's seed-to-seed sd, with its 95 % interval.

    What was not measured is None: without images there is neither harm nor what follows from it. ``summary`` holds
    the other figures, by name.
    """

    case: str
    stack: str
    place: str
    strategy: str
    plan: str
    words: tuple[str, ...]
    rank: int
    rank_low: int | None
    rank_high: int | None
    tier: int | None
    harm: float | None
    harm_low: float | None
    harm_high: float | None
    collapsed: int | None
    n: int
    gate: Status
    summary: dict[str, float]
    latency: Latency | None
    pareto: bool

    def value(self, name: str) -> float | None:
        """The figure of that name; None where it was not measured."""
        own = {"rank": self.rank, "tier": self.tier, "harm": self.harm, "collapsed": self.collapsed}
        return own[name] if name in own else {**self.summary, **_timed(self.latency)}.get(name)


def _timed(latency: Latency | None) -> dict[str, float]:
    """The figures of a timing, by name."""
    if latency is None:
        return {}
    figures = {"speed_up": latency.ratio, "theoretical_speed_up": latency.theory}
    if latency.image_speed_up is not None:
        figures["image_speed_up"] = latency.image_speed_up
        figures["image_seconds"] = statistics.median(latency.image_variant)
        figures["control_image_seconds"] = statistics.median(latency.image_control)
    if latency.peak_bytes and latency.control_peak_bytes:
        figures["memory"] = 100 * (latency.peak_bytes / latency.control_peak_bytes - 1)
    return figures


@dataclass(frozen=True)
class StrategySummary:
    """One strategy over equal ranges: medians over the checkpoints' places it was run on."""

    stack: str
    depth: str
    strategy: str
    cases: int
    harm: float | None
    speed_up: float | None


@dataclass(frozen=True)
class Ranking:
    """All variants of one checkpoint, least harmful (or fastest) first, and the summary per strategy."""

    checkpoint: str
    rows: tuple[Row, ...]
    groups: tuple[StrategySummary, ...]
    prompts: int
    tiers: int
    by: RankedBy = RankedBy.HARM
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])  # metrics that are no columns, and why
    errors: Mapping[str, str] = field(default_factory=dict[str, str])  # cases that are not ranked, and what they raised
    gates: tuple[str, ...] = ()  # what the gates compared with


def rank(records: Iterable[Record]) -> list[Ranking]:
    """A ranking for each checkpoint in the records.

    Ordered by harm. A collapsed image scores like grey, so a few of them weigh in a variant's harm as what they
    are; a variant of which most images collapsed is no model any more and comes after all others, whatever its
    score. Only variants measured on the same number of prompts are ranked together: the larger set wins.
    Where a lab has no judge there is no harm, and the fastest variant comes first. A case whose test raised before it
    was measured is not ranked, but named in ``errors``; of a checkpoint that has nothing else there is a ranking
    without rows.
    """
    every = list(records)
    ranked = {ranking.checkpoint: ranking for ranking in _rankings([r for r in every if r.measured or not r.error])}
    for record in every:
        if record.error and not record.measured:
            ranking = ranked.get(record.checkpoint, Ranking(record.checkpoint, (), (), 0, 0))
            name = f"{record.case} (latency)" if record.kind is Kind.LATENCY else record.case
            ranked[record.checkpoint] = replace(ranking, errors={**ranking.errors, name: record.error})
    return list(ranked.values())


def _rankings(every: Sequence[Record]) -> list[Ranking]:
    out: list[Ranking] = []
    for checkpoint in dict.fromkeys(r.checkpoint for r in every):
        mine = [r for r in every if r.checkpoint == checkpoint]
        latency = {r.case: r.latency for r in mine if r.kind is Kind.LATENCY and r.latency is not None}
        quality = [(r, r.measurement) for r in mine if r.kind is Kind.QUALITY and r.measurement is not None]
        if not any(r.fingerprint.judge for r in mine):
            out += _rank_by_speed(checkpoint, [r for r in mine if r.kind is not Kind.CONTROL], latency)
        elif quality:
            out.append(replace(_rank(checkpoint, quality, latency), gates=gate_lines(mine)))
    return out


def _rank(checkpoint: str, quality: Sequence[tuple[Record, Measurement]], latency: dict[str, Latency]) -> Ranking:
    prompts = max(m.prompts for _, m in quality)
    quality = [(r, m) for r, m in quality if m.prompts == prompts]
    harms = np.stack([by_prompt(m.values["harm"], prompts) / m.summary["seed_sd"] for _, m in quality])
    collapsed = np.array([m.summary["collapsed"] for _, m in quality])
    # To the order statistics, a collapsed variant is worse than everything else.
    gone = collapsed / np.array([m.n for _, m in quality]) > 0.5
    ordered = np.where(gone[:, None], harms + 2 * (harms.max() - harms.min()) + 1, harms)
    ranks = rank_intervals(ordered)
    pareto = _pareto(ordered.mean(axis=1), [latency.get(r.case) for r, _ in quality])
    order = sorted(range(len(quality)), key=lambda i: (ordered[i].mean(), quality[i][0].case))
    rows: list[Row] = []
    for place, i in enumerate(order, start=1):
        record, measured = quality[i]
        interval = mean_interval(harms[i])
        rows.append(
            Row(
                case=record.case,
                stack=record.stack,
                place=record.place,
                strategy=record.strategy + suffix(record.window),
                plan=record.plan,
                words=record.words,
                rank=place,
                rank_low=ranks.low[i],
                rank_high=ranks.high[i],
                tier=ranks.tier[i],
                harm=interval.value,
                harm_low=interval.low,
                harm_high=interval.high,
                collapsed=int(collapsed[i]),
                n=measured.n,
                gate=record.verdict.status,
                summary=_others(measured.summary),
                latency=latency.get(record.case),
                pareto=pareto[i],
            )
        )
    left_out = {name: why for _, m in quality for name, why in m.left_out.items()}
    return Ranking(checkpoint, tuple(rows), _groups(rows), prompts, max(ranks.tier), left_out=left_out)


def _others(summary: Mapping[str, float]) -> dict[str, float]:
    """The figures for files that a row has no field of its own for."""
    own = {f.name for f in fields(Row)}
    return {name: summary[name] for name in in_files(summary) if name not in own}


def _rank_by_speed(checkpoint: str, mine: Sequence[Record], latency: Mapping[str, Latency]) -> list[Ranking]:
    """Variants by speed-up, those that were not timed last; nothing where no variant was measured."""
    # A case's quality record says more than its latency record, and comes first.
    records = {r.case: r for r in sorted(mine, key=lambda r: r.kind is Kind.QUALITY)}
    order = sorted(records, key=lambda case: (-latency[case].ratio if case in latency else 0.0, case))
    rows: list[Row] = []
    for place, case in enumerate(order, start=1):
        record, timed = records[case], latency.get(case)
        measured = record.measurement
        rows.append(
            Row(
                case=case,
                stack=record.stack,
                place=record.place,
                strategy=record.strategy + suffix(record.window),
                plan=record.plan,
                words=record.words,
                rank=place,
                rank_low=None,
                rank_high=None,
                tier=None,
                harm=None,
                harm_low=None,
                harm_high=None,
                collapsed=None,
                n=measured.n if measured else timed.batch if timed else 0,
                gate=record.verdict.status,
                summary=dict(measured.summary) if measured else {},
                latency=timed,
                pareto=False,
            )
        )
    return [Ranking(checkpoint, tuple(rows), _groups(rows), 0, 0, RankedBy.SPEED)] if rows else []


def _pareto(harm: np.ndarray[tuple[int], np.dtype[np.float64]], latency: Sequence[Latency | None]) -> list[bool]:
    """True where no other variant is at least as good on harm and speed-up and better on one."""
    out: list[bool] = []
    for i, mine in enumerate(latency):
        if mine is None:
            out.append(False)
            continue
        out.append(
            not any(
                other is not None
                and harm[j] <= harm[i]
                and other.ratio >= mine.ratio
                and (harm[j] < harm[i] or other.ratio > mine.ratio)
                for j, other in enumerate(latency)
            )
        )
    return out


def _groups(rows: Sequence[Row]) -> tuple[StrategySummary, ...]:
    """Median harm per strategy within equal ranges; seeds and loops of one strategy stay apart from others."""
    keyed: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        depth = row.words[0] if row.words and row.words[0] != WORD else "other"
        # Shuffles are one distribution over seeds; loops are another strategy, and so is another window of steps.
        name = re.sub(r"\.s\d+", "", row.strategy)
        keyed.setdefault((row.stack, depth, name), []).append(row)
    groups: list[StrategySummary] = []
    for (stack, depth, name), members in keyed.items():
        speeds = [m.latency.ratio for m in members if m.latency is not None]
        harms = [m.harm for m in members if m.harm is not None]
        groups.append(
            StrategySummary(
                stack=stack,
                depth=depth,
                strategy=name,
                cases=len(members),
                harm=float(np.median(harms)) if harms else None,
                speed_up=float(np.median(speeds)) if speeds else None,
            )
        )
    return tuple(sorted(groups, key=lambda g: (g.stack, g.depth, -(g.speed_up or 0.0) if g.harm is None else g.harm)))
