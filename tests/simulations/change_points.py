"""How often noise alone is called a change, and steps are found: ``python -m tests.simulations.change_points``.

Prints the tables of docs/history.md ("How sure that is"). Each history has so many series of so many nights; the rate
of false alarms is that of histories with any change. Steps are of one series among sixty.
"""

from __future__ import annotations

import numpy as np

from harness.report.text import markdown_table
from harness.results.change_points import change_points, noise_of

NIGHTS = (7, 14, 30, 90)
HISTORIES = {1: 2000, 60: 200}
STEPS, STEP_DRAWS = (3.0, 4.0, 6.0, 10.0), 300


def draw(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Noise with standard deviation 1: normal, or Student's t with 4 degrees of freedom, which has odd nights."""
    return rng.normal(size=shape) if kind == "normal" else rng.standard_t(4, size=shape) / np.sqrt(2)


def false_alarms(rng: np.random.Generator, nights: int, series: int, kind: str, known: float, shortest: int) -> float:
    """The share of histories with any change, in percent."""
    found = 0
    for _ in range(HISTORIES[series]):
        rows = draw(rng, kind, (series, nights))
        found += any(
            change_points(row, noise, series=series, shortest=shortest)
            for row in rows
            if (noise := noise_of(row.tolist(), known, 1e-9)) is not None
        )
    return 100 * found / HISTORIES[series]


def detected(rng: np.random.Generator, nights: int, step: float, known: float, *, last: bool) -> float:
    """The share of steps, in the middle or at the last night, that are found at that very night, in percent."""
    at = nights - 1 if last else nights // 2
    found = 0
    for _ in range(STEP_DRAWS):
        values = rng.normal(size=nights) + np.where(np.arange(nights) >= at, step, 0.0)
        found += change_points(values, noise_of(values.tolist(), known, 1e-9), series=60) == (at,)  # type: ignore[arg-type]
    return 100 * found / STEP_DRAWS


def main() -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    rows = []
    for nights in NIGHTS:
        for series in HISTORIES:
            ways = [("normal", 1.0, 1), ("normal", 0.0, 1), ("normal", 0.0, 2), ("t", 0.0, 1), ("t", 0.0, 2)]
            rates = [false_alarms(rng, nights, series, *way) for way in ways]
            rows.append([str(nights), str(series), *(f"{rate:.1f}" for rate in rates)])
    head = ("nights", "series", "noise known", "noise estimated", "the same, two nights at least")
    print("\n".join(markdown_table((*head, "noise with odd nights", "the same, two nights at least"), rows)), "\n")
    rows = []
    for nights in NIGHTS:
        for known, name in ((1.0, "known"), (0.0, "estimated")):
            cells = [f"{detected(rng, nights, step, known, last=last):.0f}" for last in (False, True) for step in STEPS]
            rows.append([str(nights), name, *cells])
    where = [f"{step:g} sd, {place}" for place in ("middle", "last night") for step in STEPS]
    print("\n".join(markdown_table(("nights", "noise", *where), rows)))


if __name__ == "__main__":
    main()
