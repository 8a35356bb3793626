"""The same weights and cases under several versions: what moved, and at which release it first did.

Works on journals alone. The runs are given in the order of their versions; the last one is the new one. A null run,
the new version once more, shows what moves when nothing was changed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from harness.errors import JournalError
from harness.gates.comparison import BEYOND, TIMED, Change, Movement, case_of, compare_checkpoint
from harness.gates.tolerances import Tolerance
from harness.results.columns import figure
from harness.results.records import Kind, Record, Status
from harness.results.statistics import by_prompt

_MEASURED, _MISSING = "measured", "missing"  # any other state of a case says why it failed


class UpgradeVerdict(enum.StrEnum):
    """The yes or no of an upgrade, gravest first."""

    NO = "no"  # a case is missing or failed, or something got surely worse than its tolerance allows
    LOOK = "look"  # something moved beyond its tolerance, or could not be compared
    YES = "yes"  # nothing moved by more than its tolerance
    NOISY = "noisy"  # the null run moved or lacks cases, too: nothing can be said


@dataclass(frozen=True)
class Run:
    """One environment's journals. ``label`` is what the table calls it.

    ``problems`` say by dtype why a run is not complete: ``pytest ended with exit code 3 (something broke)``.
    """

    label: str
    records: Sequence[Record]
    problems: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class VersionStep:
    """From one version to the next: the figures that moved beyond their tolerance, and how many did not.

    ``lost`` are cases and figures that are gone or failed, ``added`` counts those that only the new version has.
    """

    old: str
    new: str
    moved: tuple[Change, ...]
    same: int
    within: int
    largest: float  # of all figures with a tolerance, in tolerances
    changes: tuple[Change, ...] = ()
    lost: tuple[Change, ...] = ()
    added: int = 0

    @property
    def figures(self) -> int:
        """How many figures were compared."""
        return len(self.moved) + self.same + self.within


@dataclass(frozen=True)
class CaseStates:
    """What became of one case (or one figure of it) under each version: ``measured``, ``missing``, or why it failed."""

    what: str
    states: tuple[str, ...]


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

    ``limit`` is the tolerance, ``verdict`` what the last version's own run said against the baseline (None where it has
    no such case). A case that was never measured twice has one line, whose ``metric`` is the kind of its records.
    """

    what: str
    metric: str
    baseline: float | None
    values: tuple[float | None, ...]
    limit: float
    moved: Movement
    verdict: Status | None


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade does to one checkpoint at one dtype.

    ``lost`` are the cases that an earlier version measured and the last one lacks or failed, ``broken`` those that no
    version measured, ``cases`` how many there are in all, and ``problem`` why the last run is not complete.
    """

    checkpoint: str
    dtype: str
    labels: tuple[str, ...]
    steps: tuple[VersionStep, ...]
    null: VersionStep | None
    traces: tuple[Trace, ...]
    lines: tuple[Line, ...]
    answer: UpgradeVerdict
    lost: tuple[CaseStates, ...] = ()
    broken: tuple[CaseStates, ...] = ()
    cases: int = 0
    problem: str = ""


def upgrades(runs: Sequence[Run], null: Run | None, tolerances: Sequence[Tolerance]) -> list[Upgrade]:
    """One result for each checkpoint and dtype of any run.

    What figures moved is about the last version against the one before it. A case that any earlier version measured and
    the last one lacks, or in which it raised or is red, makes the answer no, and so does a last run that is not
    complete. Raises JournalError for fewer than two runs, where the first one has no records, where complete runs have
    nothing in common, and as :func:`harness.gates.comparison.compare` does.
    """
    if len(runs) < 2:
        raise JournalError("an upgrade needs at least two runs, the old version's and the new one's")
    if not runs[0].records:
        raise JournalError(f"the first run ({runs[0].label}) has no records, so there is nothing to compare with")
    parts = [_parts(run) for run in runs]
    keys = list(dict.fromkeys(key for part in parts for key in part))
    if all(parts) and not any(all(key in part for part in parts) for key in keys):
        raise JournalError("the runs have no checkpoint and dtype in common")
    return [_upgrade(key, runs, null, tolerances) for key in keys]


def _parts(run: Run) -> dict[tuple[str, str], list[Record]]:
    parts: dict[tuple[str, str], list[Record]] = {}
    for record in run.records:
        parts.setdefault((record.checkpoint, record.fingerprint.dtype), []).append(record)
    return parts


def _upgrade(key: tuple[str, str], runs: Sequence[Run], null: Run | None, tolerances: Sequence[Tolerance]) -> Upgrade:
    mine = [Run(run.label, _parts(run).get(key, ()), run.problems) for run in runs]
    steps = tuple(_step(old, new, tolerances) for old, new in pairwise(mine))
    again = _null_step(key, mine[-1], null, tolerances)
    states = _states(mine)
    figures_gone = [
        CaseStates(f"{c.what}, {c.metric}", (*[_MEASURED] * (len(mine) - 1), _MISSING))
        for c in steps[-1].lost
        if c.metric not in set(Kind)
    ]
    lost = (*(s for s in states if _is_lost(s)), *figures_gone)
    broken = tuple(s for s in states if not _is_lost(s) and _MEASURED not in s.states and set(s.states) - {_MISSING})
    problem = mine[-1].problems.get(key[1], "")
    return Upgrade(
        checkpoint=key[0],
        dtype=key[1],
        labels=tuple(run.label for run in mine),
        steps=steps,
        null=again,
        traces=tuple(_traces(mine, steps)),
        lines=tuple(_lines(mine, steps)),
        answer=_answer(steps[-1], again, lost=bool(lost or problem), broken=bool(broken) or not mine[-2].records),
        lost=lost,
        broken=broken,
        cases=len(states),
        problem=problem,
    )


def _null_step(
    key: tuple[str, str], last: Run, null: Run | None, tolerances: Sequence[Tolerance]
) -> VersionStep | None:
    """The step to the null run; None where none was made at this dtype."""
    if null is None or not last.records:
        return None
    made = key[1] in null.problems or any(r.fingerprint.dtype == key[1] for r in null.records)
    return _step(last, Run(null.label, _parts(null).get(key, ())), tolerances) if made else None


def _states(runs: Sequence[Run]) -> list[CaseStates]:
    """The state of every case of any run under each of them."""
    tables = [{(case_of(r), r.kind): r for r in run.records} for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    return [
        CaseStates(
            f"{what} (latency)" if kind is Kind.LATENCY else what,
            tuple(_state(table.get((what, kind))) for table in tables),
        )
        for what, kind in keys
    ]


def _state(record: Record | None) -> str:
    if record is None or not (record.measured or record.verdict.status.red):
        return _MISSING
    if record.verdict.status.red:
        return record.error or f"red: {record.verdict.status.value}"
    return _MEASURED


def _is_lost(case: CaseStates) -> bool:
    """Whether the last version lacks a case that an earlier one measured, or failed it and no earlier one did.

    A test of the control that passes leaves no record, so one that fails may be missing from all earlier runs.
    """
    *earlier, last = case.states
    if last == _MEASURED:
        return False
    return _MEASURED in earlier or (last != _MISSING and all(state == _MISSING for state in earlier))


def _step(old: Run, new: Run, tolerances: Sequence[Tolerance]) -> VersionStep:
    if not old.records and not new.records:
        return VersionStep(old.label, new.label, (), 0, 0, 0.0)
    changes = [c for c in compare_checkpoint(old.records, new.records, tolerances).changes if c.metric != TIMED]
    moved = tuple(c for c in changes if c.moved in BEYOND)
    return VersionStep(
        old.label,
        new.label,
        moved,
        same=sum(c.moved is Movement.SAME for c in changes),
        within=sum(c.moved is Movement.WITHIN for c in changes),
        largest=max((c.excess for c in changes if c.limit > 0), default=0.0),
        changes=tuple(changes),
        lost=tuple(c for c in changes if c.moved in (Movement.GONE, Movement.FAILED)),
        added=sum(c.moved is Movement.NEW for c in changes),
    )


def _answer(last: VersionStep, null: VersionStep | None, *, lost: bool, broken: bool) -> UpgradeVerdict:
    """``lost`` says that cases are missing or failed, ``broken`` that some could not be compared."""
    if lost:
        return UpgradeVerdict.NO
    if null is not None and (null.moved or null.lost):
        return UpgradeVerdict.NOISY
    if any(c.moved is Movement.WORSE for c in last.moved):
        return UpgradeVerdict.NO
    return UpgradeVerdict.LOOK if last.moved or broken else UpgradeVerdict.YES


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
    """Every figure of every case, in the order in which the last version ran them; then what it lacks."""
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
            tables[-1][what].verdict.status if what in tables[-1] else None,
        )
        for what in dict.fromkeys(what for table in reversed(tables) for what in table)
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
    return {run.label: run.records[0].fingerprint.versions if run.records else {} for run in runs}
