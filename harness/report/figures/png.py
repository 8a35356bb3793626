"""Sheets as PNG, by matplotlib's objects alone: no pyplot, no user's style, no date in the file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from harness.files import write_atomically
from harness.report.figures.layout import EDGE, SIZE, TITLE, Layout, Place, Rect, lay_out, shown_ticks
from harness.report.figures.point_labels import place_labels
from harness.report.figures.sheet import Axis, Cloud, Dots, Heat, Scale, Sheet, SymLog
from harness.report.figures.style import FAINT, HAIR, INK, MISSING, POINT, colour_map, line_colour
from harness.report.text import tick_label

DPI = 160
_STEPS = [1, 2, 5, 10]


def save_png(sheet: Sheet, folder: Path) -> Path:
    """Write ``<name>.png``, whole or not at all; the path. Raises HarnessError where that fails."""
    path = folder / f"{sheet.name}.png"
    write_atomically(path, png(sheet))
    return path


def png(sheet: Sheet) -> bytes:
    """The same bytes for the same sheet (and the same matplotlib)."""
    with own_style():
        return encoded(draw(lay_out(sheet)))


def encoded(figure: Figure) -> bytes:
    """A figure as PNG, without date and version; letters that the font lacks are boxes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def own_style() -> Iterator[None]:
    """Matplotlib's defaults and ours for as long as it takes: a user's matplotlibrc changes no figure."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.size": SIZE,
                "text.parse_math": False,  # a name may have dollar signs
                "axes.titlesize": SIZE,
                "axes.labelsize": SIZE,
                "xtick.labelsize": SIZE,
                "ytick.labelsize": SIZE,
                "text.color": INK,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
                "axes.edgecolor": FAINT,
                "axes.linewidth": 0.6,
                "xtick.major.width": 0.6,
                "ytick.major.width": 0.6,
                "xtick.major.size": 2.5,
                "ytick.major.size": 2.5,
                "figure.facecolor": "white",
                "savefig.facecolor": "white",
            }
        )
        yield


def draw(layout: Layout) -> Figure:
    """A sheet's figure, on a canvas of its own."""
    figure = Figure(figsize=(layout.width, layout.height))
    FigureCanvasAgg(figure)
    across, down = 1 / layout.width, 1 / layout.height

    def write(text: str, left: float, top: float, **how: Any) -> None:
        figure.text(left * across, 1 - top * down, text, va="top", **how)

    write(layout.sheet.title, EDGE, EDGE, fontsize=11.5, fontweight="bold")
    write("\n".join(layout.note), EDGE, EDGE + TITLE - 0.02, color=FAINT, linespacing=1.25)
    for text, left, top in layout.titles:
        write(text, left, top + 0.03, fontweight="bold")
    for place in layout.places:
        axes = figure.add_axes(_box(place.rect, layout))
        panel = place.panel
        if isinstance(panel, Heat):
            _heat(axes, panel, place)
            if place.bar:
                _bar(figure.add_axes(_box(place.bar, layout)), panel.scale)
        elif isinstance(panel, Dots):
            _dots(axes, panel, place)
        else:
            _cloud(axes, panel)
    return figure


def _box(rect: Rect, layout: Layout) -> tuple[float, float, float, float]:
    bottom = 1 - (rect.top + rect.height) / layout.height
    return rect.left / layout.width, bottom, rect.width / layout.width, rect.height / layout.height


def _norm(scale: Scale) -> Normalize:
    if scale.kind == "log":
        return LogNorm(scale.low, scale.high, clip=True)
    return Normalize(scale.low, scale.high)


def _heat(axes: Axes, panel: Heat, place: Place) -> None:
    colours = mpl.colormaps[colour_map(panel.scale.kind)].with_extremes(bad=MISSING)
    axes.imshow(
        np.ma.masked_invalid(panel.values),
        cmap=colours,
        norm=_norm(panel.scale),
        origin="upper" if panel.y.flipped else "lower",
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_title(panel.title, loc="left", pad=4)
    _x_axis(axes, panel.x, place)
    y_kept = shown_ticks(panel.y, place.rect.height, upright=True)
    axes.set_yticks(y_kept, [panel.y.ticks[i] for i in y_kept] if place.y_ticks else [""] * len(y_kept))
    if place.y_ticks:
        axes.set_ylabel(panel.y.title)
    for cut in panel.x.cuts:
        axes.axvline(cut, color=line_colour(panel.scale.kind), linewidth=1.1)
    for cut in panel.y.cuts:
        axes.axhline(cut, color=line_colour(panel.scale.kind), linewidth=1.1)
    if panel.marked is not None:
        rows, columns = np.nonzero(panel.marked)
        size = min(4.0, 72 * place.rect.width / len(panel.x.ticks) * 0.32)
        axes.plot(columns, rows, "o", color="black", markeredgecolor="white", markersize=size, markeredgewidth=0.5)


def _x_axis(axes: Axes, axis: Axis, place: Place) -> None:
    kept = shown_ticks(axis, place.rect.width, upright=False)
    axes.set_xticks(kept, [axis.ticks[i] for i in kept])
    if place.x_title:
        axes.set_xlabel(axis.title)


def _bar(axes: Axes, scale: Scale) -> None:
    mappable = ScalarMappable(_norm(scale), colour_map(scale.kind))
    bar = axes.figure.colorbar(mappable, cax=axes, extend="max" if scale.clipped else "neither")
    ticks = scale.ticks()
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(_short())
    bar.set_label(scale.label)
    bar.outline.set_linewidth(0.6)


def _short() -> FuncFormatter:
    return FuncFormatter(lambda value, _: tick_label(value))


def _dots(axes: Axes, panel: Dots, place: Place) -> None:
    where = np.arange(len(panel.values))
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=HAIR, linewidth=0.5)
    for cut in panel.x.cuts:
        axes.axvline(cut, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.axhline(0, color=INK, linewidth=0.9)
    if panel.bars:
        axes.bar(where, panel.values, width=0.72, color=POINT)
    else:
        if panel.low is not None and panel.high is not None:
            reach = np.isfinite(panel.low) & np.isfinite(panel.high)
            axes.vlines(where[reach], panel.low[reach], panel.high[reach], color=POINT, linewidth=1.2)
        axes.plot(where, panel.values, "o", color=POINT, markersize=4)
    axes.set_xlim(-0.6, len(where) - 0.4)
    axes.set_ylim(*panel.reach)
    if panel.scale is None:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    else:
        set_symlog(axes, panel.scale, panel.reach)
    axes.set_title(panel.title, loc="left", pad=4)
    _x_axis(axes, panel.x, place)
    open_axes(axes)
    if place.y_ticks:
        axes.set_ylabel(panel.y_title)
    else:
        axes.tick_params(labelleft=False)


def set_symlog(axes: Axes, scale: SymLog, reach: tuple[float, float]) -> None:
    """Let the y axis be linear near zero and logarithmic beyond, from one end of ``reach`` to the other."""
    # With a linscale of .9, matplotlib's transform is SymLog.place.
    axes.set_yscale("symlog", linthresh=scale.linear, linscale=0.9)
    axes.set_ylim(*reach)
    axes.yaxis.set_major_locator(FixedLocator(scale.ticks(*reach)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(_short())


def _cloud(axes: Axes, panel: Cloud) -> None:
    axes.set_axisbelow(True)
    axes.grid(color=HAIR, linewidth=0.5)
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.plot(panel.x, panel.y, "o", color=POINT, markersize=4)
    axes.margins(0.1)
    if panel.log_x:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(FixedLocator(Scale("", low, high, "log").ticks(4)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS, prune="upper"))  # a last one may not fit
    axes.xaxis.set_major_formatter(_short())
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.set_title(panel.title, loc="left", pad=4)
    axes.set_xlabel(panel.x_title)
    axes.set_ylabel(panel.y_title)
    open_axes(axes)
    place_labels(axes, panel)


def open_axes(axes: Axes) -> None:
    """Leave out the frame's lines above and on the right."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
