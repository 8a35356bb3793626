"""How finely figures are stored and compared. No numpy: pytest's options are read before anything is measured."""

from __future__ import annotations

DIGITS = 6  # significant digits of a stored value


def rounded(value: float) -> float:
    """To DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")
