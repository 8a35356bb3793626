"""From records to the ranked table: a pure function, so that a journal ranks the same on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from harness.ablation.guidance import suffix
from harness.ablation.modifiers import WORD as MODIFIER
from harness.results.columns import in_files
from harness.results.figure import RankedBy
from harness.results.fingerprint import Fingerprint, measured_differently
from harness.results.gate_lines import gate_lines
from harness.results.harm import harm_by_prompt
from harness.results.judge_check import JudgeCheck
from harness.results.latency import Latency
from harness.results.pareto import pareto_front
from harness.results.partial_ranking import harm_interval, partial_ranks, set_size
from harness.results.rank_intervals import rank_intervals
from harness.results.ranking_row import Row
from harness.results.records import Kind, Measurement, Record, why_not_ranked
from harness.results.removal import what_can_go
from harness.results.second_opinion import CHECKER, SecondOpinion, second_opinions
from harness.results.statistics import Interval, seed_sd_interval
from harness.results.strategy_summary import StrategySummary, by_strategy

# Figures that follow from the judge's scores or features.
_OF_THE_JUDGE = frozenset(
    {"harm", "seed_sd", "clip_delta", "clip_min", "layer_harm", "image_drift", "mmd", "fid", "fid_null", "fid_ratio"}
)


@dataclass(frozen=True)
class Ranking:
    """All variants of one checkpoint, least harmful (or fastest) first, and the summary per strategy.

    ``unit`` is the unit of harm in points of the judge's score with its interval, None where it isn't known;
    ``sampled_batch`` and ``timed_batch`` are the images in one forward when sampled and when timed. ``tiers`` is 0
    where there are none. ``judge_check`` is what is known of the judge;
    where it was refused, nothing is ranked by harm. ``opinions`` are other measures' rankings of the same variants.
    ``fewest`` is the least number of the ``prompts`` that an adaptive run measured a variant on, None where all
    variants have all prompts. ``unmeasured`` are cases that a run left out on purpose, and why.
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
    fewest: int | None = None
    unmeasured: Mapping[str, str] = field(default_factory=dict[str, str])
    apart: str = ""  # what was measured differently than in the checkpoint's first ranking, where there are several

    @property
    def to_lose(self) -> float | None:
        """Points that the control scores less for other prompts, which is 100 % lost; None where not measured."""
        return next((value for row in self.rows if (value := row.value("to_lose")) is not None), None)

    def own(self, records: Iterable[Record]) -> list[Record]:
        """Those of some records that it ranks: of its checkpoint, and measured in its way where there are several."""
        mine = [record for record in records if record.checkpoint == self.checkpoint]
        if self.fingerprint is None:
            return mine
        return [record for record in mine if record.fingerprint.conditions == self.fingerprint.conditions]

    @property
    def removals(self) -> tuple[Row, ...]:
        """The rows that answer what can go (:func:`harness.results.removal.what_can_go`); none unless by harm."""
        return what_can_go(self.rows) if self.by is RankedBy.HARM else ()


def rank(records: Iterable[Record]) -> list[Ranking]:
    """A ranking for each checkpoint in the records, and for each way in which it was measured (dtype, judge ...).

    Ordered by harm. A collapsed image scores like grey, so a few of them weigh in a variant's harm as what they
    are; a variant of which most images collapsed is no model any more and comes after all others, whatever its
    score. Only variants measured on the same number of prompts are ranked together: the larger set wins.
    Where a lab has no judge there is no harm, and the fastest variant comes first. A case whose test raised before it
    was measured is not ranked, but named in ``errors``. An adaptive run's variants are ranked together, whatever number
    of the prompts each has; their rank intervals and tiers are those of :mod:`harness.results.partial_ranking`. Of a
    checkpoint that has nothing else there is a ranking
    without rows.
    """
    out: list[Ranking] = []
    for checkpoint, apart, mine in _measured_alike(records):
        errors = {r.title: r.error for r in mine if r.error and not r.measured}
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
    unmeasured = {r.case: "; ".join(r.verdict.notes) for r in mine if r.kind is Kind.QUALITY and r.measurement is None}
    ranking = _rank(checkpoint, quality, latency, control)
    left_out = {**ranking.left_out, **left_out}
    return [
        replace(
            ranking,
            judge_check=check,
            gates=gate_lines([r for r in mine if r.case not in unmeasured]),
            left_out=left_out,
            unmeasured=unmeasured,
        )
    ]


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
    prompts = max(set_size(m) for _, m in quality)
    quality = [(r, m) for r, m in quality if set_size(m) == prompts]
    harms = [harm_by_prompt(m) for _, m in quality]
    collapsed = np.array([m.summary["collapsed"] for _, m in quality])
    # To the order statistics, a collapsed variant is worse than everything else.
    gone = collapsed / np.array([m.n for _, m in quality]) > 0.5
    width = max(harm.max() for harm in harms) - min(harm.min() for harm in harms)
    ordered = [harm + 2 * width + 1 if collapse else harm for harm, collapse in zip(harms, gone, strict=True)]
    partial = any(m.partial for _, m in quality)
    if partial:
        ranks = partial_ranks(ordered, [m.subset for _, m in quality], prompts)
    else:
        ranks = rank_intervals(np.stack(ordered))
    front = pareto_front(
        np.array([harm.mean() for harm in ordered]),
        # Modifiers don't leave out blocks of one cost each, so their times are compared as those of another stack.
        [r.case if MODIFIER in r.words else r.stack for r, _ in quality],
        [latency.get(r.case) for r, _ in quality],
        [MODIFIER in r.words for r, _ in quality],
    )
    order = sorted(range(len(quality)), key=lambda i: (ordered[i].mean(), quality[i][0].case))
    opinions = [] if partial else second_opinions([r.case for r, _ in quality], [m for _, m in quality])
    checker = next((opinion.ranks for opinion in opinions if opinion.name == CHECKER), {})
    rows: list[Row] = []
    for place, i in enumerate(order, start=1):
        record, measured = quality[i]
        interval, unit = harm_interval(harms[i], measured.subset), measured.summary["seed_sd"]
        more = {"prompts_measured": float(measured.prompts)} if partial else {}
        if scores := measured.values.get("score"):
            more["clip_score"] = float(np.mean(scores))
        rows.append(
            Row(
                case=record.case,
                stack=record.stack,
                place=record.place,
                strategy=record.strategy + suffix(record.guidance_pass, record.window),
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
                summary=_others({**measured.summary, **more, **_named_rank("checker_rank", checker, record.case)}),
                latency=latency.get(record.case),
                pareto=front[i],
            )
        )
    left_out = {name: why for _, m in quality for name, why in m.left_out.items()}
    return Ranking(
        checkpoint,
        tuple(rows),
        by_strategy(rows),
        prompts,
        max((tier for tier in ranks.tier if tier is not None), default=0),
        left_out=left_out,
        unit=_unit(quality[0][1], control),
        sampled_batch=_sampled_batch(quality[0][0], prompts),
        timed_batch=_timed_batch(rows),
        opinions=tuple(opinions),
        fewest=min(m.prompts for _, m in quality) if partial else None,
    )


def _unit(variant: Measurement, control: Measurement | None) -> Interval | None:
    """The unit of harm as a variant was measured in it, with the interval that was measured with it.

    Journals of earlier versions have no interval beside a variant; the control's scores give the same.
    """
    unit, summary = variant.summary["seed_sd"], variant.summary
    if "seed_sd_low" in summary and "seed_sd_high" in summary:
        return Interval(unit, summary["seed_sd_low"], summary["seed_sd_high"])
    scores = () if control is None else control.values.get("score", ())
    if control is None or len(scores) <= control.prompts:
        return None
    return replace(seed_sd_interval(np.reshape(scores, (control.prompts, -1))), value=unit)


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
                strategy=record.strategy + suffix(record.guidance_pass, record.window),
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
    return [Ranking(checkpoint, tuple(rows), by_strategy(rows), 0, 0, RankedBy.SPEED, timed_batch=_timed_batch(rows))]


def _summary(measured: Measurement | None, *, unjudged: bool) -> dict[str, float]:
    if measured is None:
        return {}
    return {name: v for name, v in measured.summary.items() if not (unjudged and name in _OF_THE_JUDGE)}
