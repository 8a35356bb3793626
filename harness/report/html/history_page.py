"""The page of a history: what is red and since when, every change, and each figure over the runs as a chart."""

from __future__ import annotations

import math

from harness.report import history_text
from harness.report.html.shell import render
from harness.results.history import History, Series, to_json

_MOST_ROWS = 1000  # of the table of changes; history.json has all
_DIGITS = 6


def history_page(history: History) -> str:
    """The page's text: one file, which fetches nothing."""
    names = list(map(history_text.run_name, history.runs))
    numbers = {id(series): number for number, series in enumerate(history.series)}
    changes = [
        {
            "series": numbers[id(series)],
            "case": history_text.case_text(series),
            "figure": history_text.figure_name(series),
            "direction": history_text.direction(change),
            "before": history_text.value_text(series, change.before),
            "after": history_text.value_text(series, change.after),
            "since": names[change.run],
            "last": names[change.before_run],
            "differs": history_text.differs_text(change.differs),
        }
        for series, change in history.changes[:_MOST_ROWS]
    ]
    red = [
        {
            "case": each.case,
            "kind": each.kind.value,
            "status": each.status.value,
            "since": names[each.since],
            "green": "" if each.green is None else names[each.green],
            "differs": "" if each.green is None else history_text.differs_text(each.differs),
        }
        for each in history.red
    ]
    return render(
        "history.html.j2",
        title="History",
        data=_data(history),
        css=("history.css",),
        scripts=("history.js",),
        plotly=bool(history.series),
        summary=history_text.title(history),
        runs=len(history.runs),
        changes=changes,
        more=len(history.changes) - len(changes),
        red=red,
        no_red=history_text.NO_RED,
        no_change=history_text.NO_CHANGE,
    )


def _data(history: History) -> dict[str, object]:
    """What the script draws from: as history.json, but the points as columns, since a page is read as a whole."""
    plain = to_json(history)
    return {
        "runs": plain["runs"],
        "series": [_columns(series) for series in history.series],
    }


def _columns(series: Series) -> dict[str, object]:
    points = series.points
    return {
        "case": history_text.case_text(series),
        "name": history_text.figure_name(series),
        "run": [p.run for p in points],
        "value": [_short(p.value) for p in points],
        "low": [_short(p.low) for p in points],
        "high": [_short(p.high) for p in points],
        "status": [p.status.value for p in points],
        "red": [p.status.red for p in points],
        "levels": [[run, *map(_short, (level, *series.band(level)))] for run, level in series.levels],
        "band": bool(series.reach or series.noise),
        "reach": series.reach_source,
        "changes": [[c.run, history_text.direction(c)] for c in series.changes],
    }


def _short(value: float) -> float | None:
    """A number with as many digits as stored values have; None for what is not finite."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
