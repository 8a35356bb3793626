"""A history in sentences, which answer "since when?": for the terminal, as Markdown, and for the page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.errors import printable
from harness.markdown import markdown_text
from harness.report.text import counted, number
from harness.results.columns import figure
from harness.results.history import Change, History, RedCase, Run, Series
from harness.results.records import Kind

NO_CHANGE = "no figure changed beyond its noise"
NO_RED = "nothing is red in the last run"
_NOTHING_DIFFERS = "nothing that is recorded differs between the two"
_FORMS = {"harm": ".4g", "latent_drift": ".4g", "output_drift": ".4g", "speed_up": ".3f", "score": ".5g"}


def run_name(run: Run) -> str:
    """``nightly-12 (2026-11-22 03:36)``; the date alone is left out where the name is one."""
    return f"{printable(run.name)} ({run.date.text})"


def figure_name(series: Series) -> str:
    """``latent drift``; ``harm [sd]``."""
    declared = figure(series.figure)
    return (
        series.figure
        if declared is None
        else f"{declared.words} [{declared.unit}]"
        if declared.unit
        else declared.words
    )


def value_text(series: Series, value: float) -> str:
    """A figure's value as sentences have it."""
    return number(value, _FORMS[series.figure])


def title(history: History) -> str:
    """``12 runs, 2026-11-10 to 2026-11-22: 57 cases, 171 figures``."""
    first, last = history.runs[0].date.text, history.runs[-1].date.text
    when = first if first == last else f"{first} to {last}"
    cases = counted(len({series.case for series in history.series if series.figure != "score"}), "case")
    return f"{counted(len(history.runs), 'run')}, {when}: {cases}, {counted(len(history.series), 'figure')}"


def differs_text(differs: Sequence[str]) -> str:
    """What differs between the run before and the first run after."""
    return "; ".join(map(printable, differs)) or _NOTHING_DIFFERS


def direction(change: Change) -> str:
    """``worse``, ``better``, or ``changed`` where neither side of the figure is better."""
    return {True: "better", False: "worse", None: "changed"}[change.better]


def case_text(series: Series) -> str:
    """The case, and how it was measured where it was in several ways."""
    return printable(f"{series.case} ({series.apart})" if series.apart else series.case)


def change_line(history: History, series: Series, change: Change) -> str:
    """``m-skip: harm [sd] worse since RUN (DATE): 0.5 -> 1.5; before: RUN (DATE); diffusers 0.41.0 -> 0.42.1``."""
    return (
        f"{case_text(series)}: {figure_name(series)} {direction(change)} since {run_name(history.runs[change.run])}: "
        f"{value_text(series, change.before)} -> {value_text(series, change.after)}; before: "
        f"{run_name(history.runs[change.before_run])}; {differs_text(change.differs)}"
    )


def red_line(history: History, red: RedCase) -> str:
    """``m-skip: regression since RUN (DATE); not red before, in RUN (DATE); diffusers 0.41.0 -> 0.42.1``."""
    kind = " (latency)" if red.kind is Kind.LATENCY else ""
    start = f"{printable(red.case)}{kind}: {red.status.value} since {run_name(history.runs[red.since])}"
    if red.green is None:
        return f"{start}, the first run here that has it"
    return f"{start}; not red before, in {run_name(history.runs[red.green])}; {differs_text(red.differs)}"


def lines(history: History) -> list[str]:
    """What is red and since when, and then every change, the newest first."""
    changes = history.changes
    red = [f"red in the last run ({len(history.red)}):", *(f"  {red_line(history, each)}" for each in history.red)]
    moved = [f"changes ({len(changes)}), the newest first:"]
    moved += [f"  {change_line(history, series, change)}" for series, change in changes]
    return [title(history), *(red if history.red else [NO_RED]), *(moved if changes else [NO_CHANGE])]


def render(history: History, width: int, colour: bool) -> str:
    """The lines for a terminal of ``width`` columns, folded where they are longer."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    for line in lines(history):
        bold = not line.startswith(" ")
        style = (
            "bold" if bold else "red" if " worse since " in line or " since " in line.partition(": ")[2][:40] else ""
        )
        console.print(Text(line, style=style), soft_wrap=False)
    return stream.getvalue()


def markdown(history: History) -> str:
    """The same as Markdown, for a job's summary."""
    out = ["# Since when?", "", f"{markdown_text(title(history))}.", "", "## Red in the last run", ""]
    out += [f"- {markdown_text(red_line(history, each))}" for each in history.red] or [f"{NO_RED}."]
    out += ["", "## Changes, the newest first", ""]
    out += [f"- {markdown_text(change_line(history, *pair))}" for pair in history.changes] or [f"{NO_CHANGE}."]
    return "\n".join([*out, ""])
