"""A figure of matplotlib that a notebook shows where it is the last value of a cell, without pyplot or a backend."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

_DPI = 110


class NotebookFigure(Figure):
    """As any Figure (``savefig``, ``axes``), drawn as PNG where a notebook shows it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
        return buffer.getvalue()
