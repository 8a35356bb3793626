"""What a figure shows, before anything draws it: sheets of rows of panels. PNG and HTML are drawn from the same.

Nothing here needs matplotlib or plotly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.results.arrays import Array

Kind = Literal["linear", "log", "diverging"]
_SMALLEST = 1e-12  # a logarithmic scale of nothing but zeros still has two ends


@dataclass(frozen=True)
class Scale:
    """How values become colours between ``low`` and ``high``; what lies outside takes the colour of the end."""

    label: str
    low: float
    high: float
    kind: Kind = "linear"
    clipped: bool = False  # some values lie above ``high``: the colour bar ends in an arrow

    def place(self, values: npt.ArrayLike) -> Array:
        """Values on the axis along which the colours are spaced evenly."""
        table = np.asarray(values, dtype=np.float64)
        if self.kind == "log":
            return np.asarray(np.log10(np.maximum(table, self.low)), dtype=np.float64)  # NaN stays NaN
        return table

    def ticks(self, most: int = 6) -> list[float]:
        """Round values between the ends, at most about ``most`` of them."""
        if self.kind == "log":
            return _decades(self.low, self.high, most)
        step = _round_step((self.high - self.low) / most)
        first, last = np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9)
        return [float(round(i * step, 10)) + 0.0 for i in np.arange(first, last + 1)]  # + 0.0: no minus zero


def _round_step(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if not step > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9)))


def _decades(low: float, high: float, most: int) -> list[float]:
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for parts in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**e for e in exponents for m in parts if low * (1 - 1e-9) <= m * 10.0**e <= high * (1 + 1e-9)]
        if 2 <= len(ticks) <= most:
            return ticks
    every = max(1, -(-len(exponents) // most))
    ticks = [10.0**e for e in exponents[::every] if low <= 10.0**e <= high]
    return ticks or [low, high]


@dataclass(frozen=True)
class SymLog:
    """An axis that is linear up to ``linear`` on both sides of zero and logarithmic beyond.

    Harms of single blocks and of whole stacks can be read on the same one, and negative ones have a place.
    """

    linear: float

    def place(self, values: npt.ArrayLike) -> Array:
        """Values on the axis along which they are drawn: 1 at ``linear``, and 1 more for each factor of ten beyond."""
        table = np.asarray(values, dtype=np.float64) / self.linear
        far = np.maximum(np.abs(table), 1.0)  # NaN stays NaN
        return np.asarray(np.clip(table, -1.0, 1.0) + np.sign(table) * np.log10(far), dtype=np.float64)

    def widened(self, low: float, high: float, share: float) -> tuple[float, float]:
        """The ends moved outwards by a share of the axis; an end at zero stays."""
        below, above = (float(self.place(end)) for end in (low, high))
        room = share * ((above - below) or 1.0)
        return (self._value(below - room) if low < 0 else low, self._value(above + room) if high > 0 else high)

    def _value(self, place: float) -> float:
        """The value that has a place."""
        return self.linear * (place if abs(place) <= 1 else float(np.sign(place)) * 10.0 ** (abs(place) - 1))

    def ticks(self, low: float, high: float) -> list[float]:
        """Zero and round values between the ends, far enough apart for their labels."""
        least = 0.07 * float(self.place(high) - self.place(low))
        sets = [self._round(low, high, parts) for parts in ((1, 2, 5), (1, 3), (1,))]
        roomy = [ticks for ticks in sets if bool((np.diff(self.place(ticks)) >= least).all())]
        return next(iter(roomy), sets[-1])

    def _round(self, low: float, high: float, parts: Sequence[int]) -> list[float]:
        far = max(-low, high)
        first, last = (int(np.floor(np.log10(max(end, _SMALLEST)))) for end in (self.linear, far))
        sizes = [m * 10.0**e for e in range(first, last + 1) for m in parts]
        sizes = [size for size in sizes if size >= self.linear * (1 - 1e-9)]
        ticks = [-size for size in reversed(sizes)] + [0.0] + sizes
        return [tick for tick in ticks if low <= tick <= high]


def symlog(values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> SymLog:
    """An axis that is linear as far as the noise goes: to half the length of an interval of the narrower quarter.

    ``low`` and ``high`` are the ends of the intervals of ``values``, all of one shape; infinite ones don't count.
    """
    table, half = np.abs(np.asarray(values, dtype=np.float64)), (np.asarray(high) - np.asarray(low)) / 2
    half = half[np.isfinite(half) & (half > 0)]
    far = float(table[np.isfinite(table)].max(initial=0.0)) or 1.0
    noise = float(np.quantile(half, 0.25)) if half.size else far / 100
    return SymLog(_round_step(float(np.clip(noise, far / 1e4, far))))


def span(values: npt.ArrayLike, label: str, kind: Kind = "linear", *, low: float | None = None) -> Scale:
    """A scale over all finite values: from the smallest, or ``low``; a diverging one is symmetric about zero."""
    table = np.asarray(values, dtype=np.float64)
    table = table[np.isfinite(table)]
    if kind == "log":
        table = table[table > 0]
    if not table.size:
        return Scale(label, _SMALLEST if kind == "log" else 0.0, 1.0, kind)
    high, least = float(table.max()), float(table.min())
    if kind == "diverging":
        bound = max(high, -least) or 1.0
        return Scale(label, -bound, bound, kind)
    least = least if low is None else low
    if not high > least:
        # One value alone: the scale is a little wider than it, so that a colour bar can be drawn.
        least, high = (least / 2, high * 2) if kind == "log" else (least - 0.01, high + 0.01)
    return Scale(label, least, high, kind)


@dataclass(frozen=True)
class Axis:
    """N cells: ``names`` for a hover text, ``ticks`` short for the axis, ``cuts`` as positions between cells.

    Cell i reaches from i - 0.5 to i + 0.5. An axis that is ``flipped`` has its first cell at the top.
    """

    title: str
    names: tuple[str, ...]
    ticks: tuple[str, ...]
    cuts: tuple[float, ...] = ()
    flipped: bool = False


@dataclass(frozen=True)
class Heat:
    """A heat map: ``values`` (rows of y, columns of x), NaN where there is none; ``marked`` cells get a dot.

    ``frames`` are other values for the same cells by name, behind a slider where there can be one.
    """

    title: str
    values: Array
    x: Axis
    y: Axis
    scale: Scale
    word: str  # of the value, in a hover text
    marked: npt.NDArray[np.bool_] | None = None
    frames: Mapping[str, Array] = field(default_factory=dict[str, Array])


@dataclass(frozen=True)
class Dots:
    """One value for each cell of ``x``: points with whiskers from ``low`` to ``high``, or bars from zero.

    NaN where a cell has none; ``scale`` is that of the y axis, linear where it is None.
    """

    title: str
    values: Array
    x: Axis
    y_title: str
    reach: tuple[float, float]  # of the y axis
    word: str
    low: Array | None = None
    high: Array | None = None
    bars: bool = False
    scale: SymLog | None = None


@dataclass(frozen=True)
class Cloud:
    """A scatter plot of ``x`` against ``y`` (N,): ``ticks`` label the points, ``names`` are for a hover text."""

    title: str
    x: Array
    y: Array
    ticks: tuple[str, ...]
    names: tuple[str, ...]
    x_title: str
    y_title: str
    log_x: bool = False


Panel = Heat | Dots | Cloud


@dataclass(frozen=True)
class SheetRow:
    """Panels side by side, their widths as ``weights`` where they differ; ``height`` in inches, None for squares."""

    panels: tuple[Panel, ...]
    height: float | None = None
    weights: tuple[float, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Sheet:
    """One figure: ``name`` of its file, ``title`` in one line, and a ``note`` that says how it was made."""

    name: str
    section: str
    title: str
    note: str
    rows: tuple[SheetRow, ...]

    @property
    def caption(self) -> str:
        """The note, and what grey cells are where there are any."""
        heats = [panel for row in self.rows for panel in row.panels if isinstance(panel, Heat)]
        grey = any(not np.isfinite(heat.values).all() for heat in heats)
        return self.note + (" Grey: no value." if grey else "")

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of the slider's stops; none where no panel has frames."""
        for row in self.rows:
            for panel in row.panels:
                if isinstance(panel, Heat) and panel.frames:
                    return tuple(panel.frames)
        return ()


def block_axis(title: str, length: int, starts: Sequence[int] = ()) -> Axis:
    """The blocks 0..L-1 of a stack; ``title`` names one ("double block"). A group is cut off before its first block."""
    names = tuple(f"{title} {i}" for i in range(length))
    return Axis(title, names, tuple(map(str, range(length))), tuple(k - 0.5 for k in starts if 0 < k < length))


def state_axis(title: str, length: int, starts: Sequence[int] = (), *, flipped: bool = False) -> Axis:
    """The states of a stream: what enters block 0, then what leaves each block, to ``length`` states in all."""
    names = ("what enters", *(f"after block {i}" for i in range(length - 1)))
    ticks = ("in", *map(str, range(length - 1)))
    return Axis(title, names, ticks, tuple(k + 0.5 for k in starts if 0 < k < length - 1), flipped)


def bin_names(edges: npt.ArrayLike) -> tuple[str, ...]:
    """The bins of the noise level as text: ``0.25-0.50``, with as many digits as tell the edges apart."""
    cuts = np.asarray(edges, dtype=np.float64)
    digits = next((d for d in (1, 2, 3) if np.allclose(cuts, cuts.round(d), atol=1e-9)), 2)
    return tuple(f"{low:.{digits}f}-{high:.{digits}f}" for low, high in pairwise(cuts))
