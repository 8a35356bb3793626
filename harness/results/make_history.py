"""From the journals of many runs to their history: what was measured, what changed, and since when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from harness.errors import JournalError
from harness.results.change_points import change_points, noise_of, without_odd_values
from harness.results.columns import figure
from harness.results.figure import Better
from harness.results.fingerprint import Fingerprint, circumstances
from harness.results.history import FIGURES, SPEED_UP, Change, History, Point, RedCase, Run, Series
from harness.results.journal import JOURNALS, read
from harness.results.partial_ranking import harm_interval
from harness.results.records import Kind, Measurement, Record, why_not_ranked
from harness.results.run_date import date_of
from harness.results.statistics import by_prompt

_RESOLUTION = 1e-6  # of a value: stored ones have six digits
_VALUES = {"latent_drift": "latent", "output_drift": "output"}  # of each image, where they have another name
_FLOOR = "noise floor"  # the source of a check whose tolerance is the measured one
# A noise floor is twice the largest deviation of any perturbed run, and that is about three standard deviations.
_SDS_IN_A_FLOOR = 6.0
_SDS_IN_AN_INTERVAL = 2 * 1.96


def read_runs(places: Sequence[Path], left_out: Callable[[str], None], *, as_listed: bool = False) -> list[Run]:
    """The runs at some places, each a run folder, a journal file, or a folder of run folders; oldest first.

    ``as_listed`` keeps the order of the places. ``left_out`` is called with a line for what can't be read. Raises
    JournalError where a place holds no run, and where nothing could be read.
    """
    runs: list[Run] = []
    for path in dict.fromkeys(run for place in places for run in _runs_at(place)):
        try:
            records = read(path, left_out=left_out)
        except JournalError as error:
            left_out(str(error))
            continue
        folder = path.parent if path.is_file() else path
        runs.append(Run(folder.absolute().name, date_of(path), tuple(records)))
    if not runs:
        raise JournalError(f"no run could be read in {', '.join(map(str, places))}")
    return runs if as_listed else sorted(runs, key=lambda run: (run.date.text, run.name))


def _runs_at(place: Path) -> list[Path]:
    if place.is_file() or any(place.glob(JOURNALS)):
        return [place]
    inside = sorted({path.parent for path in place.glob(f"*/{JOURNALS}")})
    if not inside:
        raise JournalError(f"no run in {place}: it holds neither a {JOURNALS} nor folders that do (see reports/)")
    return inside


def history(runs: Sequence[Run]) -> History:
    """The series of all figures in the runs, which are in the order of time, with their changes; and what is red."""
    found: dict[tuple[str, str, str, str], dict[int, tuple[Point, Record]]] = {}
    for number, run in enumerate(runs):
        for record in run.records:
            for name, point in _points(record, number):
                key = (record.checkpoint, record.case, name, _conditions(record.fingerprint))
                found.setdefault(key, {})[number] = (point, record)
    several = {(checkpoint, case, name): 0 for checkpoint, case, name, _ in found}
    for checkpoint, case, name, _ in found:
        several[checkpoint, case, name] += 1
    made: list[Series] = []
    for (checkpoint, case, name, conditions), entries in found.items():
        apart = conditions if several[checkpoint, case, name] > 1 else ""
        made.append(_series(checkpoint, case, name, apart, list(entries.values()), len(found)))
    order = {name: place for place, name in enumerate(FIGURES)}
    made.sort(key=lambda series: (series.checkpoint, series.case, series.apart, order[series.figure]))
    return History(tuple(runs), tuple(made), tuple(_red(runs)))


def _conditions(fingerprint: Fingerprint) -> str:
    """What figures must have in common to be one series, in words; what a baseline calls comparable, and the device."""
    sampling = " ".join(f"{name}={value}" for name, value in sorted(fingerprint.sampling.items()) if name != "batch")
    parts = [
        fingerprint.device,
        fingerprint.dtype,
        *([] if fingerprint.offload == "none" else [f"offload {fingerprint.offload}"]),
        sampling,
        *([f"perturbed {' '.join(fingerprint.perturbed)}"] if fingerprint.perturbed else []),
        f"judge {fingerprint.judge or 'none'}",
        f"prompts {fingerprint.prompts[:12]}",
    ]
    return ", ".join(part for part in parts if part)


def _points(record: Record, run: int) -> list[tuple[str, Point]]:
    """The figures of a record that histories have."""
    nothing, status = math.nan, record.verdict.status
    if record.latency is not None:
        latency = record.latency
        return [(SPEED_UP, Point(run, latency.ratio, latency.low, latency.high, status))]
    measurement = record.measurement
    if measurement is None or measurement.partial:  # of other prompts every night
        return []
    if record.kind is Kind.CONTROL:
        score = measurement.summary.get("score", nothing)
        return [("score", Point(run, score, nothing, nothing, status))] if math.isfinite(score) else []
    points: list[tuple[str, Point]] = []
    for name in ("harm", "latent_drift", "output_drift"):
        value = measurement.summary.get(name, nothing)
        if math.isfinite(value) and not (name == "harm" and why_not_ranked(record)):
            low, high = _interval(measurement, name, value)
            points.append((name, Point(run, value, low, high, status)))
    return points


def _interval(measurement: Measurement, name: str, value: float) -> tuple[float, float]:
    """The 95 % interval over prompts; NaN where the measurement doesn't say."""
    values = measurement.values.get(_VALUES.get(name, name), ())
    if not values or measurement.prompts < 2:
        return math.nan, math.nan
    each = by_prompt(values, measurement.prompts)
    mean = float(each.mean())
    # Values of a drift are not yet divided by the distance of a reseed, which is in the figure alone.
    unit = measurement.summary["seed_sd"] if name == "harm" else mean / value if value and mean else math.nan
    if not math.isfinite(unit) or not np.isfinite(each).all():
        return math.nan, math.nan
    interval = harm_interval(each / unit, measurement.subset)
    return interval.low, interval.high


def _series(
    checkpoint: str, case: str, name: str, apart: str, entries: Sequence[tuple[Point, Record]], count: int
) -> Series:
    points = [point for point, _ in entries]
    logarithmic = name == SPEED_UP
    values = np.array([math.log(p.value) if logarithmic else p.value for p in points])
    reach, source = _reach(entries, name)
    floor = reach / _SDS_IN_A_FLOOR if source == _FLOOR else 0.0
    known = max(floor, _usual_sd(points)) if logarithmic else floor
    resolution = max(_RESOLUTION * float(np.abs(values).max()), 1e-9)
    noise = noise_of(values.tolist(), known, resolution, bound=not logarithmic)
    starts: tuple[int, ...] = ()
    if noise is not None and logarithmic:  # a busy machine makes one night odd
        starts = change_points(without_odd_values(values.tolist()), noise, series=count, shortest=2)
    elif noise is not None:  # images are the same every night, so one night of others is a change
        starts = change_points(values.tolist(), noise, series=count)
    kept = _beyond(values.tolist(), starts, reach)
    means = _means(values.tolist(), kept)
    shown = [math.exp(mean) if logarithmic else mean for mean in means]
    return Series(
        checkpoint,
        case,
        name,
        apart,
        tuple(points),
        None if noise is None else noise.sd,
        reach,
        source,
        tuple((points[start].run, mean) for start, mean in zip((0, *kept), shown, strict=True)),
        tuple(
            _change(name, entries[start - 1], entries[start], before, after)
            for start, (before, after) in zip(kept, pairwise(shown), strict=True)
        ),
    )


def _usual_sd(points: Sequence[Point]) -> float:
    """The median over the runs of a speed-up's standard deviation, of its logarithm, from its interval."""
    widths = [math.log(p.high / p.low) for p in points if 0 < p.low <= p.high < math.inf]
    return float(np.median(widths)) / _SDS_IN_AN_INTERVAL if widths else 0.0


def _reach(entries: Sequence[tuple[Point, Record]], name: str) -> tuple[float, str]:
    """How far the figure may move by the newest verdict that says so, and by what; (0, "") where none does."""
    metric = "relative_time" if name == SPEED_UP else name
    for _, record in reversed(entries):
        for check in record.verdict.checks:
            if check.metric == metric and check.tolerance is not None and math.isfinite(check.tolerance):
                relative = abs(check.baseline or 0.0) if name == SPEED_UP else 1.0
                return (check.tolerance / relative, check.source) if relative else (0.0, "")
    return 0.0, ""


def _beyond(values: Sequence[float], starts: Sequence[int], reach: float) -> tuple[int, ...]:
    """The changes whose step is beyond the reach; the smallest of the others goes first, and its stretches join."""
    kept = list(starts)
    while kept:
        means = _means(values, kept)
        steps = np.abs(np.diff(means))
        least = int(steps.argmin())
        if steps[least] > reach:
            break
        del kept[least]
    return tuple(kept)


def _means(values: Sequence[float], starts: Sequence[int]) -> list[float]:
    """The mean of each stretch."""
    return [float(np.mean(part)) for part in np.split(np.asarray(values), list(starts))]


def _change(name: str, last: tuple[Point, Record], first: tuple[Point, Record], before: float, after: float) -> Change:
    declared = figure(name)
    better = None
    if declared is not None and declared.better is not None:
        better = (after > before) == (declared.better is Better.HIGHER)
    differs = tuple(circumstances(last[1].fingerprint, first[1].fingerprint))
    return Change(first[0].run, last[0].run, before, after, better, differs)


def _red(runs: Sequence[Run]) -> list[RedCase]:
    """What is red in the last run that has its checkpoint, with the first run of the time that it is red."""
    newest = {record.checkpoint: number for number, run in enumerate(runs) for record in run.records}
    seen: dict[tuple[str, Kind, str], list[tuple[int, Record]]] = {}
    for number, run in enumerate(runs):
        for record in run.records:
            seen.setdefault((record.case, record.kind, _conditions(record.fingerprint)), []).append((number, record))
    red: list[RedCase] = []
    for (case, kind, _), entries in seen.items():
        last_run, last = entries[-1]
        if not last.verdict.status.red or last_run != newest[last.checkpoint]:
            continue
        start = len(entries) - 1
        while start > 0 and entries[start - 1][1].verdict.status.red:
            start -= 1
        since, first = entries[start]
        green: int | None = None
        differs: tuple[str, ...] = ()
        if start > 0:
            green, before = entries[start - 1]
            differs = tuple(circumstances(before.fingerprint, first.fingerprint))
        red.append(RedCase(case, kind, last.verdict.status, since, green, differs))
    return sorted(red, key=lambda each: (-each.since, each.case, each.kind))
