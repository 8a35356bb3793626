"""What a history over many runs holds: the figures of each case, where one changed, and since when a case is red.

A series is one figure of one case, over all runs that measured it under the same
conditions (prompts, judge, sampling, device, dtype ...); versions and machines may differ, since they are what is asked
about. :mod:`harness.results.make_history` makes one from the runs' journals.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from harness.results.columns import figure
from harness.results.records import Kind, Record, Status
from harness.results.run_date import RunDate

SPEED_UP = "speed_up"
FIGURES = ("harm", "latent_drift", "output_drift", SPEED_UP, "score")  # the last one is the control's


@dataclass(frozen=True)
class Run:
    """The records of a run, under the name of its folder, with its date."""

    name: str
    date: RunDate
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Point:
    """A figure in one run, by the run's number; ``low`` and ``high`` are its 95 % interval, NaN where there is none."""

    run: int
    value: float
    low: float
    high: float
    status: Status


@dataclass(frozen=True)
class Change:
    """From the run of number ``run`` on, a figure is another one: its mean over the runs before and from then on.

    ``before_run`` is the last run before, ``better`` is None where neither side is, and ``differs`` says what else
    differs between the two runs: ``diffusers 0.41.0 -> 0.42.1``.
    """

    run: int
    before_run: int
    before: float
    after: float
    better: bool | None
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """One figure of one case over the runs. ``apart`` says how it was measured where a case was in several ways.

    ``noise`` is the standard deviation from night to night (of the logarithm, for a speed-up), None where too few runs
    say; ``reach`` is how far the figure may move before it counts as another one, by the stored noise floor or the
    tolerance (``reach_source``), 0 where nothing is stored. ``levels`` are the first run of each stretch and its mean.
    """

    checkpoint: str
    case: str
    figure: str
    apart: str
    points: tuple[Point, ...]
    noise: float | None
    reach: float
    reach_source: str
    levels: tuple[tuple[int, float], ...]
    changes: tuple[Change, ...]

    @property
    def logarithmic(self) -> bool:
        """Whether steps and noise are of the logarithm."""
        return self.figure == SPEED_UP

    def band(self, level: float) -> tuple[float, float]:
        """The ends of the noise band around a level: what is stored, or else three standard deviations."""
        half = self.reach or 3 * (self.noise or 0.0)
        if self.logarithmic:
            return level * math.exp(-half), level * math.exp(half)
        return level - half, level + half


@dataclass(frozen=True)
class RedCase:
    """A case that is red in the last run that has it: since when, by which status, and what differs from before.

    ``green`` is the number of the last run in which it was not red, None where it has been red in all of them.
    """

    case: str
    kind: Kind
    status: Status
    since: int
    green: int | None
    differs: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """Runs in the order of time, the series of their figures, and what is red now."""

    runs: tuple[Run, ...]
    series: tuple[Series, ...]
    red: tuple[RedCase, ...]

    @property
    def changes(self) -> list[tuple[Series, Change]]:
        """Every change with its series, the newest first."""
        every = [(series, change) for series in self.series for change in series.changes]
        return sorted(every, key=lambda pair: (-pair[1].run, pair[0].case, pair[0].figure))


def to_json(whole: History) -> dict[str, object]:
    """The history as plain data: runs with date and versions, series with points, levels and changes, what is red."""
    runs = [
        {
            "name": run.name,
            "date": run.date.text,
            "dated_by": run.date.source.value,
            "versions": versions(run),
            "machines": sorted({r.fingerprint.capability for r in run.records}),
        }
        for run in whole.runs
    ]
    return {
        "schema": 1,
        "runs": runs,
        "series": [_series_json(series) for series in whole.series],
        "red": [
            {**dataclasses.asdict(red), "kind": red.kind.value, "status": red.status.value, "differs": [*red.differs]}
            for red in whole.red
        ],
    }


def versions(run: Run) -> dict[str, str]:
    """The versions that a run was made with; several of one package, as after a merge, with a slash between them."""
    each: dict[str, dict[str, None]] = {}
    for record in run.records:
        for name, version in record.fingerprint.versions.items():
            each.setdefault(name, {})[version] = None
    return {name: "/".join(every) for name, every in sorted(each.items())}


def _series_json(series: Series) -> dict[str, object]:
    declared = figure(series.figure)
    return {
        "checkpoint": series.checkpoint,
        "case": series.case,
        "figure": series.figure,
        "unit": declared.unit if declared is not None else "",
        "apart": series.apart,
        "noise_sd": series.noise,
        "reach": series.reach,
        "reach_source": series.reach_source,
        "points": [[p.run, p.value, p.low, p.high, p.status.value] for p in series.points],
        "levels": [[run, level, *series.band(level)] for run, level in series.levels],
        "changes": [{**dataclasses.asdict(change), "differs": [*change.differs]} for change in series.changes],
    }
