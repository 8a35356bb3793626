"""Harm against speed-up: every timed variant of a run, and the Pareto front with its names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import MaxNLocator

from harness.ablation.strategies import ALL_STRATEGIES
from harness.report.figures.layout import EDGE
from harness.report.figures.png import open_axes, set_symlog
from harness.report.figures.sheet import SymLog, symlog
from harness.report.figures.style import FAINT, HAIR, INK, QUALITATIVE
from harness.results.arrays import Array
from harness.results.notebook_figure import NotebookFigure

_WIDTH, _HEIGHT = 9.0, 5.6  # inches
_LEGEND = 1.45  # inches on the right
_MARKERS = "osD^vP<>Xph"  # of other shapes, where colours begin again
_LABEL_ROOM = 0.42  # of the axis, right of the fastest variant, for its name
_WHISKER_ROOM = 0.2  # of the range of speed-ups, on either side of it
_LINE = 12.0  # points from one name to the next
_NOTE = (
    "{prompts} A point is a variant, with 95 % intervals of harm and speed-up. Named: the Pareto front, which surely "
    "saves time\nand more than any less harmful plan (or modifier). The axis of harm is linear up to "
    "\u00b1{linear:g} points and logarithmic beyond."
)


@dataclass(frozen=True)
class Variant:
    """A point of the figure: a variant's name and strategy, harm and speed-up with their intervals (value, low, high).

    ``front`` says that it is on the Pareto front, which modifiers (``modified``), such as fewer steps, have for
    themselves; the ends of an interval that isn't known are infinite.
    """

    name: str
    strategy: str
    harm: tuple[float, float, float]
    speed_up: tuple[float, float, float]
    front: bool
    modified: bool = False


def pareto(
    title: str,
    prompts: str,
    y_title: str,
    variants: Sequence[Variant],
    to_lose: float | None,
    *,
    x_title: str = "speed-up of a forward (control 1)",
    note: str = _NOTE,
) -> NotebookFigure:
    """The figure on a canvas of its own; call it under :func:`harness.report.figures.png.own_style`.

    ``note`` says what the figure shows; in it, ``{prompts}`` and ``{linear:g}`` (of the axis of harm) are filled in.
    ``prompts`` says how many there were, ``to_lose`` is the harm at which the prompt has no effect any more, drawn as a
    line. Raises ValueError without a variant.
    """
    if not variants:
        raise ValueError("a figure of harm against speed-up needs at least one timed variant")
    figure = NotebookFigure(figsize=(_WIDTH, _HEIGHT))
    FigureCanvasAgg(figure)
    figure.text(EDGE / _WIDTH, 1 - EDGE / _HEIGHT, title, va="top", fontsize=11.5, fontweight="bold")
    scale = _scale(variants)
    filled = note.format(prompts=prompts, linear=scale.linear)
    figure.text(EDGE / _WIDTH, 1 - 0.42 / _HEIGHT, filled, va="top", color=FAINT, linespacing=1.25)
    left, bottom, top = 0.75, 0.55, 0.9
    box = (left / _WIDTH, bottom / _HEIGHT, 1 - (left + _LEGEND) / _WIDTH, 1 - (bottom + top) / _HEIGHT)
    axes = figure.add_axes(box)
    axes.set_axisbelow(True)
    axes.grid(color=HAIR, linewidth=0.5)
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.axvline(1, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    _points(axes, variants)
    axes.plot([1.0], [0.0], "*", color=INK, markersize=12, label="control", zorder=5)
    _limits(axes, variants, to_lose, scale)
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    open_axes(axes)
    _front(axes, variants)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0.0, handletextpad=0.4)
    return figure


def strategy_of(text: str) -> str:
    """A strategy without its seed, a plan by hand without its number: what has one marker."""
    return re.sub(r"\.s\d+|(?<=^plan)-[0-9a-f]+", "", text)


def _points(axes: Axes, variants: Sequence[Variant]) -> None:
    """The variants of each strategy in a colour and marker of their own, with their intervals."""
    names = {strategy_of(v.strategy) for v in variants}
    # The harness's own first, so that each looks the same in every figure.
    known = dict.fromkeys(map(strategy_of, ALL_STRATEGIES))
    for i, name in enumerate([*known, *sorted(names - known.keys())]):
        if name not in names:
            continue
        mine = [v for v in variants if strategy_of(v.strategy) == name]
        x, y = (np.array(values) for values in ([v.speed_up for v in mine], [v.harm for v in mine]))
        axes.errorbar(
            x[:, 0],
            y[:, 0],
            xerr=_reach(x),
            yerr=_reach(y),
            fmt=_MARKERS[i % len(_MARKERS)],
            color=QUALITATIVE[i % len(QUALITATIVE)],
            markersize=5,
            elinewidth=0.8,
            label=name,
        )


def _reach(values: Array) -> Array:
    """(2, N) lengths of the whiskers below and above of (N, 3) values and ends; none where an end is infinite."""
    known = _known(values)
    return np.stack([known[:, 0] - known[:, 1], known[:, 2] - known[:, 0]])


def _known(values: Array) -> Array:
    """(N, 3) values and ends, with the value itself for both ends of an interval that isn't known."""
    whole = np.isfinite(values).all(axis=1, keepdims=True)
    return np.where(whole, values, values[:, :1])


def _scale(variants: Sequence[Variant]) -> SymLog:
    harm = np.array([v.harm for v in variants])
    return symlog(harm[:, 0], harm[:, 1], harm[:, 2])


def _limits(axes: Axes, variants: Sequence[Variant], to_lose: float | None, scale: SymLog) -> None:
    """The ends of both axes: every harm's interval, every speed-up, and room on the right for the front's names."""
    harm, speed = (_known(np.array(values)) for values in ([v.harm for v in variants], [v.speed_up for v in variants]))
    low, high = min(0.0, float(harm.min())), max(0.0, float(harm.max()), scale.linear)
    if to_lose is not None:
        high = max(high, to_lose)
        axes.axhline(to_lose, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)), label="100 % lost")
    set_symlog(axes, scale, scale.widened(low, high, 0.05))
    slowest, fastest = min(1.0, float(speed[:, 0].min())), max(1.0, float(speed[:, 0].max()))
    width = (fastest - slowest) or 0.1
    # One timing that a busy machine disturbed must not press all others together: its whisker leaves the figure.
    slowest = max(min(slowest, float(speed[:, 1].min())), slowest - _WHISKER_ROOM * width)
    fastest = min(max(fastest, float(speed[:, 2].max())), fastest + _WHISKER_ROOM * width)
    axes.set_xlim(slowest - 0.04 * width, fastest + _LABEL_ROOM * width)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))


def _front(axes: Axes, variants: Sequence[Variant]) -> None:
    """The front as a line from the control on, and the name of each of its variants right of it, none over another."""
    front = sorted((v for v in variants if v.front), key=lambda v: v.speed_up[0])
    if not front:
        return
    for modified, style, label in ((False, "-", "Pareto front"), (True, "-.", "of modifiers")):
        if mine := [v for v in front if v.modified == modified]:
            x, y = [1.0, *(v.speed_up[0] for v in mine)], [0.0, *(v.harm[0] for v in mine)]
            axes.plot(x, y, color=INK, linewidth=1.0, linestyle=style, zorder=1.5, label=label)
    scale = 72 / axes.figure.dpi
    points = np.asarray(axes.transData.transform([(v.speed_up[0], v.harm[0]) for v in front])) * scale
    lowest = float(axes.bbox.y0) * scale + _LINE / 2
    heights = _apart(points[:, 1], lowest)
    for variant, point, height in zip(front, points, heights, strict=True):
        axes.annotate(
            variant.name,
            (variant.speed_up[0], variant.harm[0]),
            xytext=(9.0, height - float(point[1])),
            textcoords="offset points",
            va="center",
            ha="left",
            color=INK,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
        )


def _apart(heights: Array, lowest: float) -> list[float]:
    """The heights of names in points, moved downwards where they would meet, and upwards where there is no room."""
    order = np.argsort(-heights, kind="stable")
    out = heights.copy()
    for above, i in pairwise(order):
        out[i] = min(out[i], out[above] - _LINE)
    floor = lowest
    for i in order[::-1]:
        out[i] = max(out[i], floor)
        floor = out[i] + _LINE
    return [float(height) for height in out]
