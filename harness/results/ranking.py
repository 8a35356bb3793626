"""From records to the ranked table: a pure function, so that a journal ranks the same on any machine."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from harness.ablation.steps import WORD, suffix
from harness.results.columns import in_files
from harness.results.figure import RankedBy
from harness.results.fingerprint import Fingerprint, measured_differently
from harness.results.gate_lines import gate_lines
from harness.results.judge_check import JudgeCheck
from harness.results.rank_intervals import rank_intervals
from harness.results.records import Kind, Latency, Measurement, Record, Status, why_not_ranked
from harness.results.second_opinion import CHECKER, SecondOpinion, second_opinions
from harness.results.statistics import Interval, by_prompt, mean_interval, seed_sd_interval

# Figures that follow from the judge's scores or features.
_OF_THE_JUDGE = frozenset(
    {"harm", "seed_sd", "clip_delta", "clip_min", "image_drift", "mmd", "fid", "fid_null", "fid_ratio"}
)


@dataclass(frozen=True)
class Row:
    """One variant. Harm is in units of the control's seed-to-seed sd, with its 95 % interval.

    ``points_low`` and ``points_high`` are the same interval in points of the judge's score. What was not measured is
    None: without images there is neither harm nor what follows from it, and with too few prompts there are no tiers.
    ``summary`` holds the other figures, by name.
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
    points_low: float | None
    points_high: float | None
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
    clip_delta: float | None
    harm: float | None
    speed_up: float | None


@dataclass(frozen=True)
class Ranking:
    """All variants of one checkpoint, least harmful (or fastest) first, and the summary per strategy.

    ``unit`` is the unit of harm in points of the judge's score with its interval, None where it isn't known;
    ``sampled_batch`` and ``timed_batch`` are the images in one forward when sampled and when timed. ``tiers`` is 0
    where there are none. ``judge_check`` is what is known of the judge;
    where it was refused, nothing is ranked by harm. ``opinions`` are other measures' rankings of the same variants.
    """

    checkpoint: str
    rows: tuple[Row, ...]
    groups: tuple[StrategySummary, ...]
    prompts: int
    tiers: int
    by: RankedBy = RankedBy.HARM
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])  # metrics that are no columns, and why
    unit: Interval | None = None
    sampled_batch: int | None = None
    timed_batch: int | None = None
    judge_check: JudgeCheck | None = None
    opinions: tuple[SecondOpinion, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict[str, str])  # cases that are not ranked, and what they raised
    gates: tuple[str, ...] = ()  # what the gates compared with
    fingerprint: Fingerprint | None = None
    apart: str = ""  # what was measured differently than in the checkpoint's first ranking, where there are several


def rank(records: Iterable[Record]) -> list[Ranking]:
    """A ranking for each checkpoint in the records, and for each way in which it was measured (dtype, judge ...).

    Ordered by harm. A collapsed image scores like grey, so a few of them weigh in a variant's harm as what they
    are; a variant of which most images collapsed is no model any more and comes after all others, whatever its
    score. Only variants measured on the same number of prompts are ranked together: the larger set wins.
    Where a lab has no judge there is no harm, and the fastest variant comes first. A case whose test raised before it
    was measured is not ranked, but named in ``errors``; of a checkpoint that has nothing else there is a ranking
    without rows.
    """
    out: list[Ranking] = []
    for checkpoint, apart, mine in _measured_alike(records):
        errors = {_error_name(r): r.error for r in mine if r.error and not r.measured}
        rankings = _rankings(checkpoint, [r for r in mine if r.measured or not r.error])
        if errors and not rankings:
            rankings = [Ranking(checkpoint, (), (), 0, 0)]
        out += [replace(each, fingerprint=mine[0].fingerprint, apart=apart, errors=errors) for each in rankings]
    return out


def _measured_alike(records: Iterable[Record]) -> Iterator[tuple[str, str, list[Record]]]:
    """(checkpoint, what was measured differently, records) for all records whose figures may stand in one table.

    The text is empty where all records of the checkpoint may, and else how they differ from its first ones.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.checkpoint, record.fingerprint.conditions), []).append(record)
    first: dict[str, Record] = {}
    for (checkpoint, _), mine in groups.items():
        start = first.setdefault(checkpoint, mine[0]).fingerprint
        yield checkpoint, ", ".join(measured_differently(start, mine[0].fingerprint)), mine


def _error_name(record: Record) -> str:
    return f"{record.case} (latency)" if record.kind is Kind.LATENCY else record.case


def _rankings(checkpoint: str, mine: Sequence[Record]) -> list[Ranking]:
    """The ranking of a checkpoint's records, all measured alike; none where there is nothing to rank."""
    latency = {r.case: r.latency for r in mine if r.kind is Kind.LATENCY and r.latency is not None}
    variants = [r for r in mine if r.kind is not Kind.CONTROL]
    check = _judge_check(mine)
    if check is not None and check.refused:
        return [replace(r, judge_check=check) for r in _rank_by_speed(checkpoint, variants, latency, unjudged=True)]
    if not any(r.fingerprint.judge for r in mine):
        return _rank_by_speed(checkpoint, variants, latency)
    every = [(r, r.measurement) for r in mine if r.kind is Kind.QUALITY and r.measurement is not None]
    left_out = {r.case: why for r, _ in every if (why := why_not_ranked(r))}
    quality = [(r, m) for r, m in every if r.case not in left_out]
    if not quality:
        return [Ranking(checkpoint, (), (), 0, 0, left_out=left_out)] if left_out else []
    control = next((r.measurement for r in mine if r.kind is Kind.CONTROL), None)
    ranking = _rank(checkpoint, quality, latency, control)
    left_out = {**ranking.left_out, **left_out}
    return [replace(ranking, judge_check=check, gates=gate_lines(mine), left_out=left_out)]


def _judge_check(records: Sequence[Record]) -> JudgeCheck | None:
    """The check of the judge: a refusal, where any record has one."""
    checks = [r.measurement.judge_check for r in records if r.measurement is not None]
    known = [check for check in checks if check is not None]
    return next((check for check in known if check.refused), known[0] if known else None)


def _rank(
    checkpoint: str,
    quality: Sequence[tuple[Record, Measurement]],
    latency: dict[str, Latency],
    control: Measurement | None,
) -> Ranking:
    prompts = max(m.prompts for _, m in quality)
    quality = [(r, m) for r, m in quality if m.prompts == prompts]
    harms = np.stack([by_prompt(m.values["harm"], prompts) / m.summary["seed_sd"] for _, m in quality])
    collapsed = np.array([m.summary["collapsed"] for _, m in quality])
    # To the order statistics, a collapsed variant is worse than everything else.
    gone = collapsed / np.array([m.n for _, m in quality]) > 0.5
    ordered = np.where(gone[:, None], harms + 2 * (harms.max() - harms.min()) + 1, harms)
    ranks = rank_intervals(ordered)
    pareto = _pareto(ordered.mean(axis=1), [r.stack for r, _ in quality], [latency.get(r.case) for r, _ in quality])
    order = sorted(range(len(quality)), key=lambda i: (ordered[i].mean(), quality[i][0].case))
    opinions = second_opinions([r.case for r, _ in quality], [m for _, m in quality])
    checker = next((opinion.ranks for opinion in opinions if opinion.name == CHECKER), {})
    rows: list[Row] = []
    for place, i in enumerate(order, start=1):
        record, measured = quality[i]
        interval, unit = mean_interval(harms[i]), measured.summary["seed_sd"]
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
                points_low=interval.low * unit,
                points_high=interval.high * unit,
                collapsed=int(collapsed[i]),
                n=measured.n,
                gate=record.verdict.status,
                summary=_others({**measured.summary, **_named_rank("checker_rank", checker, record.case)}),
                latency=latency.get(record.case),
                pareto=pareto[i],
            )
        )
    left_out = {name: why for _, m in quality for name, why in m.left_out.items()}
    return Ranking(
        checkpoint,
        tuple(rows),
        _groups(rows),
        prompts,
        max((tier for tier in ranks.tier if tier is not None), default=0),
        left_out=left_out,
        unit=_unit(quality[0][1], control),
        sampled_batch=_sampled_batch(quality[0][0], prompts),
        timed_batch=_timed_batch(rows),
        opinions=tuple(opinions),
    )


def _unit(variant: Measurement, control: Measurement | None) -> Interval | None:
    """The unit of harm as a variant was measured in it, with the interval that was measured with it.

    Journals of earlier versions have no interval beside a variant; the control's scores give the same.
    """
    unit, summary = variant.summary["seed_sd"], variant.summary
    if "seed_sd_low" in summary and "seed_sd_high" in summary:
        return Interval(unit, summary["seed_sd_low"], summary["seed_sd_high"])
    if control is None or control.n <= control.prompts or "score" not in control.values:
        return None
    return replace(seed_sd_interval(np.reshape(control.values["score"], (control.prompts, -1))), value=unit)


def _sampled_batch(record: Record, prompts: int) -> int | None:
    batch = record.fingerprint.sampling.get("batch")
    return min(int(batch), prompts) if isinstance(batch, int | float) else None


def _timed_batch(rows: Sequence[Row]) -> int | None:
    """Images in the forward that was timed, where it was the same for all variants."""
    batches = {row.latency.batch for row in rows if row.latency is not None}
    return batches.pop() if len(batches) == 1 else None


def _named_rank(name: str, ranks: Mapping[str, float], case: str) -> dict[str, float]:
    """The figure of that name, where the case has a rank."""
    return {name: ranks[case]} if case in ranks else {}


def _others(summary: Mapping[str, float]) -> dict[str, float]:
    """The figures for files that a row has no field of its own for."""
    own = {f.name for f in fields(Row)}
    return {name: summary[name] for name in in_files(summary) if name not in own}


def _rank_by_speed(
    checkpoint: str, mine: Sequence[Record], latency: Mapping[str, Latency], *, unjudged: bool = False
) -> list[Ranking]:
    """Variants by speed-up, those that were not timed last; nothing where no variant was measured.

    ``unjudged``: there were images, but the judge was refused, so that what follows from its scores is left out.
    """
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
                points_low=None,
                points_high=None,
                collapsed=None,
                n=measured.n if measured else timed.batch if timed else 0,
                gate=record.verdict.status,
                summary=_summary(measured, unjudged=unjudged),
                latency=timed,
                pareto=False,
            )
        )
    if not rows:
        return []
    return [Ranking(checkpoint, tuple(rows), _groups(rows), 0, 0, RankedBy.SPEED, timed_batch=_timed_batch(rows))]


def _summary(measured: Measurement | None, *, unjudged: bool) -> dict[str, float]:
    if measured is None:
        return {}
    return {name: v for name, v in measured.summary.items() if not (unjudged and name in _OF_THE_JUDGE)}


def _pareto(
    harm: np.ndarray[tuple[int], np.dtype[np.float64]], stacks: Sequence[str], latency: Sequence[Latency | None]
) -> list[bool]:
    """True where a variant surely saves time, and surely more than every variant that is less harmful.

    Saving time is sure where blocks are left out (``theory`` above 1) and the whole interval of the speed-up is above
    1: a permutation runs every block, and one in forty of them has an interval above 1 by chance. Of two variants of
    one stack, whose blocks cost the same, the one that leaves out more is faster; between stacks the intervals of the
    speed-ups have to be apart.
    """

    def stands_against(i: int, mine: Latency, j: int, other: Latency | None) -> bool:
        """Whether variant j is as good a reason to run as i: no more harmful, and not surely slower."""
        if i == j or other is None or other.theory <= 1 or harm[j] > harm[i]:
            return False
        if stacks[i] == stacks[j]:
            return other.theory > mine.theory or (other.theory == mine.theory and harm[j] < harm[i])
        return other.high >= mine.low if harm[j] < harm[i] else other.low > mine.high

    return [
        mine is not None
        and mine.theory > 1
        and mine.low > 1
        and not any(stands_against(i, mine, j, other) for j, other in enumerate(latency))
        for i, mine in enumerate(latency)
    ]


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
