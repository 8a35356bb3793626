"""Two runs side by side: what moved between them, by how much, and how sure that is. Records alone, no torch.

For two versions of diffusers, two devices, or two checkpoints (a LoRA or a quantised model against its base).
Prompts are paired, so both runs must have used the same ones and the same judge.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from harness.errors import JournalError
from harness.gates.common_seeds import on_common_seeds
from harness.gates.tolerances import Tolerance, applying, tolerance_for
from harness.results.arrays import Values
from harness.results.columns import compared, is_paired
from harness.results.figure import Better, Figure
from harness.results.fingerprint import circumstances, measured_differently
from harness.results.latency import Latency
from harness.results.records import Kind, Record, why_not_ranked
from harness.results.statistics import Interval, by_prompt, mean_interval

LEVEL = 0.05  # false discovery rate over all harms and scores of one comparison (Benjamini and Hochberg 1995)


class Movement(enum.StrEnum):
    """How a figure of run B stands to that of run A, gravest first."""

    FAILED = "failed in B"  # its test raised or was red there, and not in A
    GONE = "only in A"  # a case, or one of its figures
    WORSE = "worse"  # beyond the tolerance, and surely so over prompts
    BETTER = "better"  # the same on the other side: find out why
    CHANGED = "changed"  # beyond the tolerance, with no side or not surely
    NEW = "only in B"
    WITHIN = "within"  # moved by no more than the tolerance
    SAME = "same"  # bitwise the same images, or the same figure


# What is beyond a tolerance, on either side or on none.
BEYOND = frozenset({Movement.WORSE, Movement.BETTER, Movement.CHANGED})
# What a new version must not do: a case that vanished or broke is no better than one that got worse.
_REGRESSIONS = frozenset({Movement.FAILED, Movement.GONE, Movement.WORSE})
TIMED = "log speed-up"  # never decides anything: the load of the machine differs from run to run


class Strictness(enum.StrEnum):
    """What counts as a difference between two runs, the most lenient first."""

    REGRESSION = "regression"  # a case failed or is gone, or got surely worse than its tolerance allows
    CHANGE = "change"  # something is beyond its tolerance, or only one run has it
    BITS = "bits"  # something is not bitwise the same


@dataclass(frozen=True)
class Change:
    """One figure in both runs. ``difference`` is B - A with its 95 % interval over prompts (latency: over rounds).

    ``p`` is the two-sided probability of so large a difference by chance, adjusted for all that was tested;
    ``limit`` is the tolerance in the figure's unit. Of a whole case that failed or that only one run has, ``metric`` is
    the kind of its record, and ``why`` says what is known of the reason.
    """

    what: str
    metric: str
    a: float
    b: float
    difference: Interval
    limit: float
    moved: Movement
    p: float = 1.0
    why: str = ""

    @property
    def excess(self) -> float:
        """The difference in tolerances; how far it is, where there is none."""
        size = abs(self.difference.value)
        return size / self.limit if self.limit > 0 else (math.inf if size > 0 else 0.0)


@dataclass(frozen=True)
class Comparison:
    """``changes`` are sorted by severity; ``circumstances`` say what else differs between the runs."""

    a: str
    b: str
    changes: tuple[Change, ...]
    circumstances: tuple[str, ...]

    def differs(self, how: Strictness) -> bool:
        """Whether the runs differ, latencies aside."""
        movements = {change.moved for change in self.changes if change.metric != TIMED}
        if how is Strictness.REGRESSION:
            return bool(movements & _REGRESSIONS)
        if how is Strictness.CHANGE:
            return bool(movements & (BEYOND | _REGRESSIONS | {Movement.NEW}))
        return bool(movements - {Movement.SAME})


def compare(a: Sequence[Record], b: Sequence[Record], tolerances: Sequence[Tolerance]) -> list[Comparison]:
    """A comparison for each checkpoint of either run; all cases of one that only one run has are gone, or new.

    Checkpoints are matched by name; where that matches none and each run has just one, these two are compared.
    Tolerances are those of the regression gates (``tolerances.toml``), looked up by A's case id. Raises
    JournalError where the runs have nothing to compare, or measured it with other prompts or another judge.
    """
    pairs = _pairs(a, b)
    compared_names = {name for pair in pairs for name in pair}
    alone = [r.checkpoint for r in (*a, *b) if r.checkpoint not in compared_names]
    pairs += [(name, name) for name in dict.fromkeys(alone)]
    return [compare_checkpoint(_of(a, first), _of(b, second), tolerances) for first, second in pairs]


def _pairs(a: Iterable[Record], b: Iterable[Record]) -> list[tuple[str, str]]:
    left, right = (list(dict.fromkeys(r.checkpoint for r in run)) for run in (a, b))
    both = [(name, name) for name in left if name in right]
    if both:
        return both
    if len(left) == len(right) == 1:
        return [(left[0], right[0])]
    raise JournalError(
        f"the runs have no checkpoint in common: one has {', '.join(left) or 'none'}, the other "
        f"{', '.join(right) or 'none'}; compare runs of one checkpoint each, or of the same ones"
    )


def _of(run: Iterable[Record], checkpoint: str) -> list[Record]:
    return [r for r in run if r.checkpoint == checkpoint]


def compare_checkpoint(a: Sequence[Record], b: Sequence[Record], tolerances: Sequence[Tolerance]) -> Comparison:
    """The comparison of one checkpoint's records in two runs, of which one may have none.

    Raises JournalError where they were measured with other prompts or another judge, and where one run holds records
    that were measured in several ways.
    """
    for run in (a, b):
        _check_alike(run)
    one, two = (a or b)[0].fingerprint, (b or a)[0].fingerprint
    tolerances = applying(tolerances, dtype=one.dtype, device=one.device)
    for name in ("prompts", "judge"):
        if getattr(one, name) != getattr(two, name):
            raise JournalError(
                f"{one.checkpoint} and {two.checkpoint} can't be paired: measured with other {name} "
                f"({getattr(one, name)!r} and {getattr(two, name)!r}); run both with the same"
            )
    left, right = _keyed(a), _keyed(b)
    changes: list[Change] = []
    for key in dict.fromkeys([*left, *right]):
        old, new = left.get(key), right.get(key)
        if new is not None and new.verdict.status.red and (old is None or not old.verdict.status.red):
            changes.append(_failed(key, new))
        if old is not None and new is not None:
            changes += _both(old, new, tolerances)
        elif old is not None:
            changes.append(_alone(key, old, gone=True))
        elif new is not None and not new.error:
            changes.append(_alone(key, new, gone=False))
    return Comparison(one.checkpoint, two.checkpoint, tuple(_judged(changes)), tuple(circumstances(one, two)))


def _check_alike(run: Sequence[Record]) -> None:
    """Raise JournalError where a run's records were measured in several ways, or a variant has no harm to compare."""
    for record in run:
        if differences := measured_differently(run[0].fingerprint, record.fingerprint):
            raise JournalError(
                f"one run holds records of {record.checkpoint} that were measured differently "
                f"({', '.join(differences)}), from two runs under one id; make one run of each"
            )
        judged = record.kind is Kind.QUALITY and record.measurement is not None and record.fingerprint.judge
        if judged and (why := why_not_ranked(record)):
            raise JournalError(f"{record.case} can't be compared: {why}; leave it out of the journal")


def _keyed(run: Iterable[Record]) -> dict[tuple[str, str], Record]:
    return {(r.kind, case_of(r)): r for r in run}


def case_of(record: Record) -> str:
    """The case without its checkpoint, which may have another name in the other run."""
    return record.case.removeprefix(f"{record.checkpoint}-")


def _alone(key: tuple[str, str], record: Record, *, gone: bool) -> Change:
    nothing, kind = math.nan, Movement.GONE if gone else Movement.NEW
    value = record.measurement.summary.get("harm", nothing) if record.measurement else nothing
    a, b = (value, nothing) if gone else (nothing, value)
    return Change(key[1], key[0], a, b, Interval(nothing, nothing, nothing), 0.0, kind)


def _failed(key: tuple[str, str], record: Record) -> Change:
    nothing = Interval(math.nan, math.nan, math.nan)
    why = record.error or record.verdict.status.value
    return Change(key[1], key[0], math.nan, math.nan, nothing, 0.0, Movement.FAILED, why=why)


def _both(a: Record, b: Record, tolerances: Sequence[Tolerance]) -> list[Change]:
    name = case_of(a)
    if a.latency is not None and b.latency is not None:
        return [_latency(name, a.latency, b.latency)]
    if a.measured and not b.measured and not b.verdict.status.red:
        return [replace(_alone((a.kind, name), a, gone=True), why="; ".join(b.verdict.notes))]
    if a.measurement is None or b.measurement is None:
        return []
    first, second = a.measurement, b.measurement
    if a.kind is Kind.CONTROL:
        first, second = on_common_seeds(first, second)
    if (first.n, first.prompts, first.subset) != (second.n, second.prompts, second.subset):
        raise JournalError(f"{name}: {first.n} images in one run and {second.n} in the other")
    one, two = first.summary, second.summary
    prompts = first.prompts
    changes: list[Change] = []

    def paired(figure: Figure) -> None:
        # Both in A's unit: another control must not rescale the harms that are compared.
        unit = one[figure.scale] if figure.scale else 1.0
        before, after = (by_prompt(m.values[figure.name], prompts) / unit for m in (first, second))
        tolerance = tolerance_for(tolerances, a.case, figure.name)
        limit = tolerance.limit(float(before.mean())) if tolerance else 0.0
        changes.append(_paired(name, figure, before, after, limit))

    def plain(metric: str) -> None:
        if metric in one and metric in two:
            tolerance = tolerance_for(tolerances, a.case, metric)
            limit = tolerance.limit(one[metric]) if tolerance else 0.0
            changes.append(_plain(name, metric, one[metric], two[metric], limit))
        elif metric in one:
            gone(metric, one[metric])

    def gone(metric: str, value: float) -> None:
        nothing = Interval(math.nan, math.nan, math.nan)
        changes.append(Change(name, metric, value, math.nan, nothing, 0.0, Movement.GONE))

    for figure in compared(control=a.kind == "control"):
        if not figure.paired:
            plain(figure.name)
        elif figure.name in first.values and figure.name in second.values:
            paired(figure)
        elif figure.name in first.values:
            gone(figure.name, one.get(figure.name, math.nan))
    if first.latents_sha256 and first.latents_sha256 == second.latents_sha256:
        changes = [replace(c, moved=Movement.SAME) if c.difference.value == 0 else c for c in changes]
    return changes


def _paired(what: str, figure: Figure, a: Values, b: Values, limit: float) -> Change:
    difference = b - a
    if not np.isfinite(difference).all():
        raise JournalError(f"{what}: {figure.words} is no number in one of the runs; leave the case out of the journal")
    interval = mean_interval(difference)
    # Where all prompts moved alike there is nothing to estimate an error from.
    if np.ptp(difference) <= 1e-9 * max(1.0, float(np.abs(a).max())):
        p = 1.0 if interval.value == 0 else 0.0
    else:
        p = float(stats.ttest_1samp(difference, 0.0, alternative="two-sided").pvalue)
    moved = Movement.WITHIN
    if not abs(interval.value) <= limit:
        better = interval.value > 0 if figure.better is Better.HIGHER else interval.value < 0
        moved = Movement.BETTER if better else Movement.WORSE
    elif not difference.any():
        moved = Movement.SAME
    return Change(what, figure.name, float(a.mean()), float(b.mean()), interval, limit, moved, p)


def _plain(what: str, metric: str, a: float, b: float, limit: float) -> Change:
    gap = b - a
    moved = Movement.SAME if gap == 0 else Movement.WITHIN if abs(gap) <= limit else Movement.CHANGED
    return Change(what, metric, a, b, Interval(gap, math.nan, math.nan), limit, moved)


def _latency(what: str, a: Latency, b: Latency) -> Change:
    """The change of a speed-up, as log-ratio. Reported and never worse: the machine's load differs between runs."""
    gap = math.log(b.ratio / a.ratio)
    # Independent runs: half-widths on the log scale add in squares.
    half = math.hypot(*(math.log(x.high / x.low) / 2 if x.low > 0 else math.inf for x in (a, b)))
    moved = Movement.WITHIN if abs(gap) <= half else Movement.CHANGED
    return Change(what, TIMED, math.log(a.ratio), math.log(b.ratio), Interval(gap, gap - half, gap + half), half, moved)


def _judged(changes: Sequence[Change]) -> list[Change]:
    """Sorted; what is beyond its tolerance is worse or better only where it is sure at ``LEVEL`` over all tests."""
    sided = [i for i, c in enumerate(changes) if c.moved in (Movement.WORSE, Movement.BETTER)]
    tested = [i for i, c in enumerate(changes) if is_paired(c.metric)]
    adjusted: Mapping[int, float] = {}
    if tested:
        values = stats.false_discovery_control([changes[i].p for i in tested])
        adjusted = dict(zip(tested, map(float, np.atleast_1d(values)), strict=True))
    out = [replace(c, p=adjusted.get(i, c.p)) for i, c in enumerate(changes)]
    for i in sided:
        if not adjusted[i] <= LEVEL:
            out[i] = replace(out[i], moved=Movement.CHANGED)
    order = list(Movement)
    return sorted(out, key=lambda c: (order.index(c.moved), -c.excess, c.what))
