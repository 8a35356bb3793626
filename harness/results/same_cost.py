"""The variants of a run that save time, against fewer steps and residual reuse of the same run at the same cost."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.ablation.modifiers import JOIN, read_modifier
from harness.ablation.modifiers import WORD as MODIFIER
from harness.errors import HarnessError
from harness.results.figure import RankedBy
from harness.results.harm import harm_by_prompt
from harness.results.matched_compute import FEWER_STEPS, PLAN, REUSE, Contender, Match, matched
from harness.results.ranking import Ranking
from harness.results.records import Kind, Record

COMBINED, OTHER = "combined", "modifier"  # ways that are not compared
_COMPARED = (PLAN, FEWER_STEPS, REUSE)
_MODIFIERS = {"fewer-steps": FEWER_STEPS, "reuse": REUSE}
_LEAST_PROMPTS = 4  # of which one half chooses and the other judges
_SAVES = 1.0 + 1e-9


def same_cost(records: Sequence[Record], ranking: Ranking) -> tuple[Match, ...]:
    """The best of each kind at each speed-up, from the records of a ranking's cases.

    The theoretical speed-up is that of a case's timing, so only what was timed takes part, and only variants that were
    measured on all of the run's prompts. Empty where nothing that was timed leaves out blocks, or no rival was
    measured; speed-ups that no plan reaches are left out.
    """
    if ranking.by is not RankedBy.HARM:
        return ()
    contenders = _contenders(records, ranking)
    kinds = {each.kind for each in contenders}
    if PLAN not in kinds or len(kinds) == 1 or len(contenders[0].harms) < _LEAST_PROMPTS:
        return ()
    return tuple(match for match in matched(contenders) if any(best.kind == PLAN for best in match.kinds))


def _contenders(records: Sequence[Record], ranking: Ranking) -> list[Contender]:
    cases = {row.case for row in ranking.rows}
    mine = [record for record in records if record.case in cases]
    theory = {r.case: r.latency.theory for r in mine if r.kind is Kind.LATENCY and r.latency is not None}
    found: dict[str, Contender] = {}
    for record in mine:
        measured = record.measurement
        if not _is_compared(record) or measured is None or measured.prompts < ranking.prompts:
            continue
        if theory.get(record.case, 0.0) > _SAVES:
            kind = way_of(record.words, record.strategy)
            harms = tuple(harm_by_prompt(measured).tolist())
            found[record.case] = Contender(kind, record.case, theory[record.case], harms)
    return list(found.values())


def way_of(words: Collection[str], strategy: str) -> str:
    """Which way of saving time a variant is, by its words and its strategy or modifiers."""
    if MODIFIER not in words:
        return PLAN
    ways = {_way_of_part(label) for label in strategy.split(JOIN)}
    return ways.pop() if len(ways) == 1 else COMBINED


def _way_of_part(label: str) -> str:
    """Which way a modifier of a group is; a plan's strategy, and a modifier that isn't installed here, are no way."""
    try:
        return _MODIFIERS.get(read_modifier(label).name, OTHER)
    except HarnessError:
        return OTHER


def _is_compared(record: Record) -> bool:
    """Whether a record is of images under one of the ways that are compared, in all steps and both passes."""
    whole = record.window is None and record.guidance_pass is None
    return record.kind is Kind.QUALITY and whole and way_of(record.words, record.strategy) in _COMPARED
