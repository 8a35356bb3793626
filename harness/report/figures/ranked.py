"""A ranking as a figure: each variant's harm, or speed-up, with its interval, the first at the top."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg

from harness.report.figures.png import open_axes
from harness.report.figures.style import FAINT, HAIR, POINT
from harness.results.notebook_figure import NotebookFigure

_WIDTH, _ROW, _EDGES = 7.5, 0.22, 1.1  # inches


def ranked(title: str, x_title: str, rows: Sequence[tuple[str, float, float, float]], neutral: float) -> NotebookFigure:
    """A row for each of (name, value, low, high), whose ends may be infinite; ``neutral`` is the control's value.

    Call it under :func:`harness.report.figures.png.own_style`. Raises ValueError without a row.
    """
    if not rows:
        raise ValueError("a ranking without variants has no figure")
    figure = NotebookFigure(figsize=(_WIDTH, _EDGES + _ROW * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=HAIR, linewidth=0.5)
    axes.axvline(neutral, color=FAINT, linewidth=0.8)
    for place, (_, value, low, high) in enumerate(rows):
        reach = [[value - low], [high - value]] if math.isfinite(low) and math.isfinite(high) else None
        axes.errorbar([value], [place], xerr=reach, fmt="o", color=POINT, markersize=4, elinewidth=0.9)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a name may have dollar signs
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(x_title)
    axes.set_title(title, loc="left", fontweight="bold")
    open_axes(axes)
    return figure
