"""The same weights and cases under several versions: what moved, and at which release it first did.

Works on journals alone. The runs are given in the order of their versions; the last one is the new one. A null run,
the new version once more, shows what moves when nothing was changed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.errors import JournalError
from harness.gates.comparison import BEYOND, TIMED, Change, Comparison, Movement, case_of, compare
from harness.gates.tolerances import Tolerance
from harness.results.columns import figure
from harness.results.records import Kind, Record, Status
from harness.results.statistics import by_prompt


class UpgradeVerdict(enum.StrEnum):
    """The yes or no of an upgrade, gravest first."""

    NO = "no"  # something got surely worse than its tolerance allows
    LOOK = "look"  # something moved beyond its tolerance
    YES = "yes"  # nothing moved by more than its tolerance
    NOISY = "noisy"  # the null run moved, too: nothing can be said


@dataclass(frozen=True)
class Run:
    """One environment's journal. ``label`` is what the table calls it."""

    label: str
    records: Sequence[Record]


@dataclass(frozen=True)
class VersionStep:
    """From one version to the next: the figures that moved beyond their tolerance, and how many did not."""

    old: str
    new: str
    moved: tuple[Change, ...]
    same: int
    within: int
    largest: float  # of all figures with a tolerance, in tolerances
    changes: tuple[Change, ...] = ()

    @property
    def figures(self) -> int:
        """How many figures were compared."""
        return len(self.moved) + self.same + self.within


@dataclass(frozen=True)
class Trace:
    """One figure over all versions; ``first`` is the version at which it first left its tolerance."""

    what: str
    metric: str
    baseline: float | None
    values: tuple[float | None, ...]
    limit: float
    first: str
    moved: Movement


@dataclass(frozen=True)
class Line:
    """One figure of one case under all versions, and the gravest of its movements from version to version.

    ``limit`` is the tolerance, ``verdict`` what the last version's own run said against the baseline.
    """

    what: str
    metric: str
    baseline: float | None
    values: tuple[float | None, ...]
    limit: float
    moved: Movement
    verdict: Status


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade does to one checkpoint at one dtype."""

    checkpoint: str
    dtype: str
    labels: tuple[str, ...]
    steps: tuple[VersionStep, ...]
    null: VersionStep | None
    traces: tuple[Trace, ...]
    lines: tuple[Line, ...]
    answer: UpgradeVerdict


def upgrades(runs: Sequence[Run], null: Run | None, tolerances: Sequence[Tolerance]) -> list[Upgrade]:
    """One result for each checkpoint and dtype that all runs have.

    The answer is about the last version against the one before it. Raises JournalError for fewer than two runs, and
    as :func:`harness.gates.comparison.compare` does.
    """
    if len(runs) < 2:
        raise JournalError("an upgrade needs at least two runs, the old version's and the new one's")
    keys = [key for key in _parts(runs[0]) if all(key in _parts(run) for run in runs[1:])]
    if not keys:
        raise JournalError("the runs have no checkpoint and dtype in common")
    return [_upgrade(key, runs, null, tolerances) for key in keys]


def _parts(run: Run) -> dict[tuple[str, str], list[Record]]:
    parts: dict[tuple[str, str], list[Record]] = {}
    for record in run.records:
        parts.setdefault((record.checkpoint, record.fingerprint.dtype), []).append(record)
    return parts


def _upgrade(key: tuple[str, str], runs: Sequence[Run], null: Run | None, tolerances: Sequence[Tolerance]) -> Upgrade:
    mine = [Run(run.label, _parts(run)[key]) for run in runs]
    steps = tuple(_step(old, new, tolerances) for old, new in pairwise(mine))
    again = _step(mine[-1], Run(null.label, _parts(null)[key]), tolerances) if null and key in _parts(null) else None
    return Upgrade(
        checkpoint=key[0],
        dtype=key[1],
        labels=tuple(run.label for run in mine),
        steps=steps,
        null=again,
        traces=tuple(_traces(mine, steps)),
        lines=tuple(_lines(mine, steps)),
        answer=_answer(steps[-1], again),
    )


def _step(old: Run, new: Run, tolerances: Sequence[Tolerance]) -> VersionStep:
    comparison: Comparison
    (comparison,) = compare(old.records, new.records, tolerances)
    changes = [c for c in comparison.changes if c.metric != TIMED]
    moved = tuple(c for c in changes if c.moved in BEYOND)
    same = sum(c.moved is Movement.SAME for c in changes)
    largest = max((c.excess for c in changes if c.limit > 0), default=0.0)
    within = len(changes) - len(moved) - same
    return VersionStep(old.label, new.label, moved, same, within, largest, tuple(changes))


def _answer(last: VersionStep, null: VersionStep | None) -> UpgradeVerdict:
    if null is not None and null.moved:
        return UpgradeVerdict.NOISY
    if any(c.moved is Movement.WORSE for c in last.moved):
        return UpgradeVerdict.NO
    return UpgradeVerdict.LOOK if last.moved else UpgradeVerdict.YES


def _traces(runs: Sequence[Run], steps: Sequence[VersionStep]) -> list[Trace]:
    """Every figure that moved at any step, with its values under all versions."""
    seen: dict[tuple[str, str], tuple[str, Change]] = {}
    for step in steps:
        for change in step.moved:
            seen.setdefault((change.what, change.metric), (step.new, change))
    tables = _tables(runs)
    return [
        Trace(
            what,
            metric,
            _stored(tables, what, metric),
            _values(tables, what, metric),
            change.limit,
            first,
            change.moved,
        )
        for (what, metric), (first, change) in seen.items()
    ]


def _lines(runs: Sequence[Run], steps: Sequence[VersionStep]) -> list[Line]:
    """Every figure of every case, in the order in which the last version ran them."""
    order = list(Movement)
    gravest: dict[tuple[str, str], Change] = {}
    for step in steps:
        for change in step.changes:
            known = gravest.setdefault((change.what, change.metric), change)
            if order.index(change.moved) < order.index(known.moved):
                gravest[change.what, change.metric] = change
    tables = _tables(runs)
    return [
        Line(
            what,
            change.metric,
            _stored(tables, what, change.metric),
            _values(tables, what, change.metric),
            change.limit,
            change.moved,
            record.verdict.status,
        )
        for what, record in tables[-1].items()
        for change in gravest.values()
        if change.what == what
    ]


def _tables(runs: Sequence[Run]) -> list[dict[str, Record]]:
    return [{case_of(r): r for r in run.records if r.kind in (Kind.QUALITY, Kind.CONTROL)} for run in runs]


def _stored(tables: Sequence[Mapping[str, Record]], what: str, metric: str) -> float | None:
    checks = [c for t in tables if what in t for c in t[what].verdict.checks if c.metric == metric]
    return next((c.baseline for c in checks if c.baseline is not None), None)


def _values(tables: Sequence[Mapping[str, Record]], what: str, metric: str) -> tuple[float | None, ...]:
    """A figure under every version; a scaled one (harm) in the first version's unit, as it is compared."""
    measurements = [table[what].measurement if what in table else None for table in tables]
    declared = figure(metric)
    scale = declared.scale if declared is not None else ""
    unit = next((m.summary[scale] for m in measurements if m is not None and scale in m.summary), None)
    out: list[float | None] = []
    for measured in measurements:
        value = None if measured is None else measured.summary.get(metric)
        if measured is not None and unit is not None and metric in measured.values:
            value = float(by_prompt(measured.values[metric], measured.prompts).mean()) / unit
        out.append(value)
    return tuple(out)


def versions(runs: Sequence[Run]) -> dict[str, Mapping[str, str]]:
    """What each run was made with, by label."""
    return {run.label: run.records[0].fingerprint.versions for run in runs if run.records}
