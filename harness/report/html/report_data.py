"""A run as JSON for the page: its groups of records measured alike, with their rankings, and all of its cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.ablation.block_parts import index_of
from harness.errors import printable
from harness.models.checkpoints.published import PUBLISHED
from harness.models.spec import FAMILIES
from harness.report.html.case_data import CaseParts, case_data
from harness.report.html.changes import changes
from harness.report.html.matches import match_data
from harness.report.html.plan_lane import read_plan
from harness.report.ranking_table import columns_of, errors, foot, headline_columns, named, parts
from harness.report.text import with_unit
from harness.results.by_task import task_tables
from harness.results.columns import extra_kind
from harness.results.figure import Column, Figure, RankedBy
from harness.results.fingerprint import BaselineFacts, Fingerprint
from harness.results.ranking import Ranking
from harness.results.records import Kind, Record

_LONGEST = 2000  # characters of a prompt


@dataclass(frozen=True)
class _Group:
    """The records of one checkpoint that were measured alike, with their ranking where there is one."""

    records: tuple[Record, ...]
    ranking: Ranking | None
    several: bool  # whether the checkpoint was measured in several ways, whose pictures have the same names


def report_data(
    records: Sequence[Record],
    rankings: Sequence[Ranking],
    pictures: Collection[str],
    kept_texts: Callable[[str], list[str]] = lambda _checkpoint: [],
) -> dict[str, Any]:
    """All that the page shows of a run's records.

    ``pictures`` are the names of the files in its folder of images. ``kept_texts`` gives the prompts that are kept
    beside a checkpoint's pictures, for a run whose records have no control.
    """
    cases: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    index: dict[int, int] = {}
    for group in _groups(records, rankings):
        data, own = _group_data(group, () if group.several else pictures, len(cases))
        for each, by_id in own:
            index |= {identity: len(cases) for identity in by_id}
            cases.append(each | {"group": len(groups)})
        if not data["texts"] and not group.several:
            data["texts"] = kept_texts(group.records[0].checkpoint)
        groups.append(data)
    counts = Counter(record.verdict.status.value for record in records)
    return {
        "run": printable(next((record.run for record in records if record.run), "")),
        "results": len(records),
        "red": sum(record.verdict.status.red for record in records),
        "counts": counts.most_common(),
        "changes": changes(records, index),
        "groups": groups,
        "cases": cases,
    }


def _groups(records: Sequence[Record], rankings: Sequence[Ranking]) -> list[_Group]:
    by_conditions: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_conditions.setdefault((record.checkpoint, record.fingerprint.conditions), []).append(record)
    ranked = {(r.checkpoint, r.fingerprint.conditions): r for r in rankings if r.fingerprint is not None}
    ways = Counter(checkpoint for checkpoint, _ in by_conditions)
    return [_Group(tuple(mine), ranked.get(key), ways[key[0]] > 1) for key, mine in by_conditions.items()]


def _group_data(
    group: _Group, pictures: Collection[str], start: int
) -> tuple[dict[str, Any], list[tuple[dict[str, Any], list[int]]]]:
    """A group as JSON, and its cases with the ids of their records; ``start`` is the first case's number."""
    ranking, first = group.ranking, group.records[0]
    columns = columns_of(ranking) if ranking is not None and ranking.rows else ()
    every = _cases(group)
    number = {each.case: start + i for i, each in enumerate(every)}
    control = next((r.measurement for r in group.records if r.kind is Kind.CONTROL and r.measurement), None)
    refused = ranking is not None and ranking.judge_check is not None and ranking.judge_check.refused
    tables = [] if refused or ranking is None else task_tables(group.records, first.checkpoint)
    data = {
        "name": named(ranking) if ranking is not None else printable(first.checkpoint),
        "checkpoint": printable(first.checkpoint),
        "family": family_of(first.checkpoint),
        "by": ranking.by.value if ranking is not None else RankedBy.HARM.value,
        "prompts": 0 if ranking is None else ranking.prompts,
        "tiers": 0 if ranking is None else ranking.tiers,
        "variants": 0 if ranking is None else len(ranking.rows),
        "unit": None if ranking is None or ranking.unit is None else with_unit("clip_delta", ranking.unit.value),
        "to_lose": None if ranking is None else ranking.to_lose,
        "columns": [_column(column) for column in columns],
        "removals": [] if ranking is None else [number[row.case] for row in ranking.removals],
        "removal_columns": [] if ranking is None else [column.name for column in headline_columns(ranking)],
        "parts": [] if ranking is None else [[title, len(rows)] for title, rows in parts(ranking)],
        "foot": [] if ranking is None else list(foot(ranking)),
        "errors": [] if ranking is None else errors(ranking),
        "stacks": _stacks(group.records),
        "texts": [printable(text)[:_LONGEST] for text in control.texts] if control is not None else [],
        "categories": [printable(text) for text in control.categories] if control is not None else [],
        "tasks": [
            {
                "kind": table.kind,
                "unit": table.unit,
                "tasks": [printable(task) for task in table.tasks],
                "prompts": table.prompts,
                "rows": [[number[r.case], [[i.value, i.low, i.high] for i in r.losses]] for r in table.rows],
            }
            for table in tables
        ],
        "matches": [] if ranking is None or ranking.by is not RankedBy.HARM else match_data(group.records, ranking),
        "environment": environment(first.fingerprint),
    }
    ids = {each.case: [id(record) for record in each.records] for each in every}
    return data, [(case_data(each, columns, pictures), ids[each.case]) for each in every]


def _cases(group: _Group) -> list[CaseParts]:
    """The ranked cases in their order, then the others in that of the records."""
    records: dict[str, list[Record]] = {}
    for record in sorted(group.records, key=lambda record: record.kind is Kind.LATENCY):
        records.setdefault(record.case, []).append(record)
    rows = {row.case: row for row in group.ranking.rows} if group.ranking is not None else {}
    order = [*rows, *(case for case in records if case not in rows)]
    return [CaseParts(case, rows.get(case), tuple(records[case])) for case in order]


def _column(column: Column) -> dict[str, Any]:
    legend = extra_kind(column.name).legend.replace("{}", "METRIC") if "." in column.name else column.legend
    return {
        "name": column.name,
        "label": column.label,
        "unit": column.unit,
        "legend": legend,
        "text": column.text,
        "better": column.better.value if isinstance(column, Figure) and column.better is not None else "",
        "negated": isinstance(column, Figure) and column.negated,
        "brief": column.brief,
    }


def _stacks(records: Sequence[Record]) -> dict[str, int]:
    """Stack -> its number of blocks: the published one, or what the plans of the run show."""
    known: Mapping[str, int] = {}
    checkpoint = PUBLISHED.get(records[0].checkpoint)
    if checkpoint is not None:
        known = checkpoint.stacks
    lengths: dict[str, int] = {}
    for record in records:
        plan = read_plan(record.plan) if record.stack else None
        if plan is not None:
            last = max(map(index_of, plan.named()), default=-1)
            name = printable(record.stack)
            lengths[name] = max(lengths.get(name, 0), last + 1, known.get(record.stack, 0))
    return lengths


def family_of(checkpoint: str) -> str:
    """The family that a checkpoint's name says it is of; the name itself where it says none."""
    published = PUBLISHED.get(checkpoint)
    if published is not None:
        return published.family.name
    named_after = (f.name for f in FAMILIES.values() if checkpoint.lower().startswith(f.name.lower()))
    return max(named_after, key=len, default=printable(checkpoint))


def circumstances_of(measured: BaselineFacts) -> list[list[str]]:
    """[what, how it was] of what is known of a finding's circumstances."""
    facts = {
        "device": f"{measured.capability}, {measured.threads} threads",
        "sampling": _sampling(measured.sampling),
        "weights": measured.weights,
        "judge": measured.judge or "none",
        "prompts": measured.prompts,
        **{f"metric {name}": value for name, value in sorted(measured.metrics.items())},
        **dict(sorted(measured.versions.items())),
    }
    return _pairs(facts)


def environment(fingerprint: Fingerprint) -> list[list[str]]:
    """[what, how it was] of everything that can change a number."""
    facts = {
        "device": f"{fingerprint.device} ({fingerprint.capability}), {fingerprint.threads} threads",
        "dtype": fingerprint.dtype,
        "sampling": _sampling(fingerprint.sampling),
        "weights": fingerprint.weights,
        "judge": fingerprint.judge or "none",
        "prompts": fingerprint.prompts,
        "offload": fingerprint.offload,
        "machine": fingerprint.machine,
        "changed on purpose": ", ".join(fingerprint.perturbed),
        **{f"metric {name}": value for name, value in sorted(fingerprint.metrics.items())},
        **dict(sorted(fingerprint.versions.items())),
        "fingerprint": fingerprint.digest,
    }
    return _pairs(facts)


def _sampling(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sorted(settings.items()))


def _pairs(facts: Mapping[str, str]) -> list[list[str]]:
    return [[printable(name), printable(str(value))] for name, value in facts.items() if value]
