"""A Measurement in a notebook: its figures as an HTML table, and its values by prompt as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import jinja2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from harness.errors import DataError, printable
from harness.results.columns import figure
from harness.results.notebook_figure import NotebookFigure
from harness.results.statistics import by_prompt, mean_interval

_WIDTH, _HEIGHT = 7.0, 3.0  # inches
_POINT, _FAINT, _BAND = "#0072b2", "#5f5f5f", "#56b4e9"

_HTML = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(
    """\
<p><b>{{ head }}</b></p>
<table>
<thead><tr><th>figure</th><th>value</th><th>what it is</th></tr></thead>
<tbody>
{% for name, value, about in rows %}
<tr><td style="text-align: left">{{ name }}</td><td style="text-align: right">{{ value }}</td>\
<td style="text-align: left">{{ about }}</td></tr>
{% endfor %}
</tbody>
</table>"""
)


def measurement_html(head: str, summary: Mapping[str, float], left_out: Mapping[str, str]) -> str:
    """A title and a table with every figure, its unit and what it is; then those left out, and why."""
    rows = [_row(name, value) for name, value in summary.items()]
    rows += [(name, "-", f"Not measured: {why}") for name, why in left_out.items()]
    return _HTML.render(head=head, rows=[tuple(map(printable, row)) for row in rows])


def _row(name: str, value: float) -> tuple[str, str, str]:
    declared = figure(name)
    unit = f" {declared.unit}" if declared is not None and declared.unit else ""
    text = f"{value:.4g}{unit}" if math.isfinite(value) else "-"
    return name, text, "" if declared is None else declared.legend.format("METRIC", "GRADE")


def measurement_figure(every: Mapping[str, Sequence[float]], prompts: int, name: str) -> NotebookFigure:
    """The values of that name by prompt, largest first (seeds averaged), with their mean and its 95 % interval.

    ``every`` holds the values of each image by name, prompt-major. Raises DataError where there are none of that
    name, with the names that there are.
    """
    if name not in every or not prompts:
        there = ", ".join(every) or "none at all"
        raise DataError(f"the measurement has no values {name!r} to plot; there are {there}")
    values = by_prompt(every[name], prompts)
    order = np.argsort(-values, kind="stable")
    interval = mean_interval(values)
    made = NotebookFigure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        axes.axhspan(interval.low, interval.high, color=_BAND, alpha=0.25, linewidth=0)
    axes.axhline(
        interval.value, color=_POINT, linewidth=1.2, label=f"mean {interval.value:.3g}, with its 95 % interval"
    )
    axes.axhline(0, color=_FAINT, linewidth=0.8)
    axes.plot(range(len(values)), values[order], "o", color=_POINT, markersize=4)
    axes.set_xlabel("prompts, the largest value first")
    axes.set_ylabel(f"{name} [points]" if name in {"harm", "score"} else name, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    return made
