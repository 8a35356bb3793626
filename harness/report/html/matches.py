"""Matched compute: what leaving out blocks is worth beside fewer steps and residual reuse of the same speed-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.ablation.modifiers import WORD as MODIFIER
from harness.errors import printable
from harness.results.matched_compute import FEWER_STEPS, PLAN, REUSE, Contender, matched
from harness.results.ranking import Ranking
from harness.results.records import Kind, Record
from harness.results.statistics import Interval, by_prompt

_LEAST = 4  # prompts


def kind_of(words: Sequence[str], strategy: str) -> str:
    """Which way of saving time a variant is; of several at once their names, as they are written."""
    if MODIFIER not in words:
        return PLAN
    if "+" in strategy:
        return "combined"
    return FEWER_STEPS if strategy.startswith("fewer-steps") else REUSE if strategy.startswith("reuse") else "modifier"


def match_data(records: Sequence[Record], ranking: Ranking) -> list[dict[str, Any]]:
    """The least harmful of each kind at each theoretical speed-up, as JSON; empty where only plans were measured."""
    theory = {row.case: row.latency.theory for row in ranking.rows if row.latency is not None}
    contenders = [
        Contender(kind_of(r.words, r.strategy), r.case, theory[r.case], _harms(r))
        for r in records
        if r.kind is Kind.QUALITY and r.case in theory and r.measurement is not None and not r.measurement.partial
    ]
    contenders = [each for each in contenders if len(each.harms) == ranking.prompts >= _LEAST]
    if not any(each.kind in (FEWER_STEPS, REUSE) for each in contenders):
        return []
    return [
        {
            "speed_up": match.speed_up,
            "kind": best.kind,
            "names": [printable(name.removeprefix(f"{ranking.checkpoint}-")) for name in best.names],
            "theory": best.speed_up,
            "harm": _ends(best.harm),
            "more": None if best.more_than_plan is None else _ends(best.more_than_plan),
        }
        for match in matched(contenders)
        for best in match.kinds
    ]


def _harms(record: Record) -> tuple[float, ...]:
    measured = record.measurement
    if measured is None or "harm" not in measured.values or not measured.summary.get("seed_sd"):
        return ()
    return tuple(by_prompt(measured.values["harm"], measured.prompts) / measured.summary["seed_sd"])


def _ends(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]
