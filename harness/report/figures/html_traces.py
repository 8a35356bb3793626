"""Sheets as plotly figures: plain dicts in plotly's schema, with the numbers of the arrays in them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.report.figures.layout import LINE, SIZE, Layout, Place, Rect, lay_out, shown_ticks
from harness.report.figures.sheet import Axis, Cloud, Dots, Heat, Scale, Sheet
from harness.report.figures.style import FAINT, HAIR, INK, MISSING, POINT, line_colour, stops
from harness.report.text import tick_label
from harness.results.arrays import Array

_DOTS = 100  # pixels an inch, so that a figure is 900 wide
_TOOLS = 0.32  # inches above it, for the buttons that show on hovering
_SLIDER = 0.75  # inches under a figure with frames
# A tick exactly at a cell gives its short text to the cell's hover text as well; this far off (of a cell) it doesn't.
_NUDGE = 0.02
_LETTERS = round(SIZE * _DOTS / 72)
_FONT = {"family": "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", "size": _LETTERS, "color": INK}
# Plotly's own default is a button that sends the chart to its cloud: a page that works offline has none.
_CONFIG = {"displaylogo": False, "displayModeBar": "hover", "showSendToCloud": False, "plotlyServerURL": ""}


def packed(values: Array) -> dict[str, str]:
    """An array as plotly.js reads it, in single precision (7 digits): half the bytes of the numbers as text."""
    table = np.ascontiguousarray(values, dtype="<f4")
    shape = {} if table.ndim == 1 else {"shape": ", ".join(map(str, table.shape))}
    return {"dtype": "f4", "bdata": base64.b64encode(table.tobytes()).decode(), **shape}


def interactive(sheet: Sheet) -> dict[str, Any]:
    """A sheet as ``{"data", "layout", "config"}``; its title and note are the page's. NaN cells are grey."""
    page = _Page(lay_out(sheet))
    data: list[dict[str, Any]] = []
    stops_of: list[int] = []  # which of the slider's stops shows a trace, -1 for all
    for i, place in enumerate(page.layout.places, start=1):
        axes = {"xaxis": _axis("x", i), "yaxis": _axis("y", i)}
        panel = place.panel
        if isinstance(panel, Heat):
            traces = _heat(page, panel, place)
            stops_of += range(len(traces)) if panel.frames else [-1] * len(traces)
            if panel.marked is not None:
                traces.append(_marks(panel, panel.marked))
                stops_of.append(-1)
        else:
            traces = [_dots(panel) if isinstance(panel, Dots) else _cloud(panel)]
            stops_of.append(-1)
        data += [{**trace, **axes} for trace in traces]
        page.add_axes(i, place)
    if sheet.frames:
        page.out["sliders"] = [_slider(sheet.frames, stops_of)]
    return {"data": data, "layout": page.out, "config": _CONFIG}


class _Page:
    """Plotly's layout, filled panel by panel; inches from the top become shares of the figure from the bottom."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        below = _SLIDER if layout.sheet.frames else 0.0
        title = max(len(place.panel.title.splitlines()) for place in layout.places[:1])
        self.top = layout.header - _TOOLS - LINE * title
        self.height = layout.height - self.top + below
        heats = any(isinstance(place.panel, Heat) for place in layout.places)
        self.out: dict[str, Any] = {
            "width": round(layout.width * _DOTS),
            "height": round(self.height * _DOTS),
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0, "autoexpand": False},
            "font": _FONT,
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": MISSING if heats else "#ffffff",
            "showlegend": False,
            "hoverlabel": {"font": {"size": _LETTERS + 1}},
            "annotations": [],
            "shapes": [],
        }
        for text, left, top in layout.titles:
            self.write(f"<b>{text}</b>", left, top + 0.03)

    def share(self, rect: Rect) -> tuple[list[float], list[float]]:
        """(left, right) and (bottom, top) as shares of the figure."""
        bottom = 1 - (rect.top + rect.height - self.top) / self.height
        across = [rect.left / self.layout.width, (rect.left + rect.width) / self.layout.width]
        return across, [bottom, bottom + rect.height / self.height]

    def write(self, text: str, left: float, top: float) -> None:
        place = {"x": left / self.layout.width, "y": 1 - (top - self.top) / self.height}
        how = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top", "align": "left"}
        self.out["annotations"].append({"text": text, "showarrow": False, **place, **how})

    def add_axes(self, i: int, place: Place) -> None:
        panel = place.panel
        across, up = self.share(place.rect)
        if panel.title:
            lines = panel.title.splitlines()
            self.write("<br>".join(lines), place.rect.left, place.rect.top - 0.17 * len(lines) - 0.05)
        base = {"linecolor": FAINT, "ticks": "outside", "ticklen": 3, "tickcolor": FAINT, "zeroline": False}
        x: dict[str, Any] = {**base, "domain": across, "anchor": _axis("y", i), "showgrid": False}
        y: dict[str, Any] = {**base, "domain": up, "anchor": _axis("x", i), "showticklabels": place.y_ticks}
        if isinstance(panel, Cloud):
            x |= {"title": _title(panel.x_title), "showgrid": True, "gridcolor": HAIR, "nticks": 6}
            x["type"] = "log" if panel.log_x else "linear"
        else:
            x |= _cells(panel.x, place.rect.width, upright=False)
            x["title"] = _title(panel.x.title if place.x_title else "")
            self.out["shapes"] += [_cut(panel, cut, i, down=True) for cut in panel.x.cuts]
        if isinstance(panel, Heat):
            y |= {**_cells(panel.y, place.rect.height, upright=True), "showgrid": False}
            y["title"] = _title(panel.y.title if place.y_ticks else "")
            self.out["shapes"] += [_cut(panel, cut, i, down=False) for cut in panel.y.cuts]
        else:
            y |= {"title": _title(panel.y_title if place.y_ticks else ""), "gridcolor": HAIR, "nticks": 7}
            y |= {"zeroline": True, "zerolinecolor": INK, "zerolinewidth": 1}
        if isinstance(panel, Dots):
            y |= _reach(panel)
        self.out[_axis("xaxis", i)], self.out[_axis("yaxis", i)] = x, y


def _axis(letter: str, i: int) -> str:
    """Plotly's name of the i-th axis: x, x2, x3."""
    return letter if i == 1 else f"{letter}{i}"


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 4, "font": {"size": _LETTERS}}


def _cells(axis: Axis, length: float, *, upright: bool) -> dict[str, Any]:
    kept = shown_ticks(axis, length, upright=upright)
    ends = [-0.5, len(axis.names) - 0.5]
    return {
        "type": "category",
        "range": ends[::-1] if axis.flipped else ends,
        "tickmode": "array",
        "tickvals": [k + _NUDGE for k in kept],
        "ticktext": [axis.ticks[k] for k in kept],
        "tickangle": 0,
    }


def _cut(panel: Heat | Dots, cut: float, i: int, *, down: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"color": FAINT, "width": 1, "dash": "dash"}
    if isinstance(panel, Heat):
        line = {"color": line_colour(panel.scale.kind), "width": 1.5}
    along = {"xref": _axis("x", i), "yref": f"{_axis('y', i)} domain", "x0": cut, "x1": cut, "y0": 0, "y1": 1}
    if not down:
        along = {"xref": f"{_axis('x', i)} domain", "yref": _axis("y", i), "x0": 0, "x1": 1, "y0": cut, "y1": cut}
    return {"type": "line", "line": line, **along}


def _heat(page: _Page, panel: Heat, place: Place) -> list[dict[str, Any]]:
    """The values, or each of the frames, on one colour scale."""
    scale = panel.scale
    tables = list(panel.frames.values()) or [panel.values]
    low = (
        float(min([scale.low, *(np.nanmin(t) for t in tables if np.isfinite(t).any())])) if panel.frames else scale.low
    )
    if low < scale.low:
        scale = Scale(scale.label, low, scale.high, scale.kind, clipped=scale.clipped)
    common: dict[str, Any] = {
        "type": "heatmap",
        "x": list(panel.x.names),
        "y": list(panel.y.names),
        "zmin": float(scale.place(scale.low)),
        "zmax": float(scale.place(scale.high)),
        "colorscale": [list(stop) for stop in stops(scale.kind)],
        "showscale": place.bar is not None,
        "hoverongaps": False,
    }
    if place.bar:
        common["colorbar"] = _bar(page, scale, place.bar)
    traces = []
    names = list(panel.frames) or [panel.title or panel.x.title]
    for i, (name, table) in enumerate(zip(names, tables, strict=True)):
        above = f"{name}<br>" if panel.frames else f"{panel.title}<br>" if panel.title else ""
        shown = {"z": packed(table)}
        value = "%{z:.4g}"
        if scale.kind == "log":
            shown = {"z": packed(scale.place(table)), "customdata": packed(table)}
            value = "%{customdata:.4g}"
        hover = f"{above}%{{y}}<br>%{{x}}<br>{panel.word} {value}<extra></extra>"
        traces.append({**common, "name": name, **shown, "hovertemplate": hover, "visible": i == 0})
    return traces


def _bar(page: _Page, scale: Scale, rect: Rect) -> dict[str, Any]:
    across, up = page.share(rect)
    ticks = scale.ticks()
    return {
        "x": across[0],
        "y": up[0],
        "len": up[1] - up[0],
        "lenmode": "fraction",
        "xanchor": "left",
        "yanchor": "bottom",
        "xpad": 0,
        "ypad": 0,
        "thickness": round(rect.width * _DOTS),
        "outlinewidth": 0,
        "tickmode": "array",
        "tickvals": [float(scale.place(value)) for value in ticks],
        "ticktext": [tick_label(value) for value in ticks],
        "title": {"text": scale.label, "side": "right", "font": {"size": _LETTERS}},
    }


def _reach(panel: Dots) -> dict[str, Any]:
    """The ends of a y axis; plotly has no scale that is logarithmic on both sides of zero, so the ticks are placed."""
    if panel.scale is None:
        return {"range": list(panel.reach)}
    ticks = panel.scale.ticks(*panel.reach)
    return {
        "range": panel.scale.place(panel.reach).tolist(),
        "tickmode": "array",
        "tickvals": panel.scale.place(ticks).tolist(),
        "ticktext": [tick_label(tick) for tick in ticks],
    }


def _marks(panel: Heat, marked: npt.NDArray[np.bool_]) -> dict[str, Any]:
    rows, columns = np.nonzero(marked)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "off by more than the noise",
        "x": [panel.x.names[k] for k in columns],
        "y": [panel.y.names[k] for k in rows],
        "marker": {"size": 5, "color": "black", "line": {"color": "white", "width": 0.7}},
        "hoverinfo": "skip",
    }


def _dots(panel: Dots) -> dict[str, Any]:
    place = panel.scale.place if panel.scale is not None else np.asarray
    values = place(panel.values)
    trace: dict[str, Any] = {"name": panel.x.title, "x": list(panel.x.names), "y": packed(values)}
    if panel.bars:
        trace |= {"type": "bar", "width": 0.72}
    else:
        trace |= {"type": "scatter", "mode": "markers"}
    known = [panel.values]
    hover = f"%{{x}}<br>{panel.word} %{{customdata[0]:.4g}}"
    if panel.low is not None and panel.high is not None and np.isfinite([panel.low, panel.high]).all():
        reach = {"array": packed(place(panel.high) - values), "arrayminus": packed(values - place(panel.low))}
        trace["error_y"] = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 0, **reach}
        known += [panel.low, panel.high]
        hover += " [%{customdata[1]:.3g}, %{customdata[2]:.3g}]"
    trace["customdata"] = packed(np.stack(known, axis=1))
    return {**trace, "marker": {"color": POINT}, "hovertemplate": hover + "<extra></extra>"}


def _cloud(panel: Cloud) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": panel.title.splitlines()[0],
        "x": packed(panel.x),
        "y": packed(panel.y),
        "text": list(panel.names),
        "marker": {"color": POINT, "size": 7},
        "hovertemplate": f"%{{text}}<br>{panel.x_title} %{{x:.4g}}<br>{panel.y_title} %{{y:.4g}}<extra></extra>",
    }


def _slider(frames: tuple[str, ...], stops_of: list[int]) -> dict[str, Any]:
    steps = [
        {"label": name, "method": "restyle", "args": [{"visible": [stop in (-1, k) for stop in stops_of]}]}
        for k, name in enumerate(frames)
    ]
    shown = {"prefix": "shown: ", "font": {"size": _LETTERS + 1}}
    return {"steps": steps, "currentvalue": shown, "x": 0.06, "len": 0.88, "y": 0, "yanchor": "bottom", "pad": {"b": 5}}
