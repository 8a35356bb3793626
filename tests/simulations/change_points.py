"""How often noise alone is called a change, and steps are found: ``python -m tests.simulations.change_points``.

Prints the tables of docs/history.md ("How sure that is"). Each history has so many series of so many nights; the rate
of false alarms is that of histories with any change. Steps are of one series among sixty.
"""

from __future__ import annotations

import numpy as np

from harness.markdown import markdown_table
from harness.results.change_points import change_points, noise_of, without_odd_values

NIGHTS = (7, 14, 30, 90)
HISTORIES = {1: 1000, 60: 100}
STEPS, STEP_DRAWS = (3.0, 4.0, 6.0, 10.0), 200
# Images with a noise floor, images without, and speed-ups, as harness.results.make_history treats them.
KINDS = ("images, noise floor", "images, estimated", "speed-up, estimated")


def draw(rng: np.random.Generator, odd: bool, shape: tuple[int, ...]) -> np.ndarray:
    """Noise with standard deviation 1: normal, or Student's t with 4 degrees of freedom, which has odd nights."""
    return rng.standard_t(4, size=shape) / np.sqrt(2) if odd else rng.normal(size=shape)


def changes(values: np.ndarray, kind: str, series: int) -> tuple[int, ...]:
    """What a history finds in a series."""
    noise = noise_of(values.tolist(), 1.0 if kind == KINDS[0] else 0.0, 1e-9, bound=True)
    assert noise is not None
    if kind == KINDS[2]:
        return change_points(without_odd_values(values.tolist()), noise, series=series, shortest=2)
    return change_points(values.tolist(), noise, series=series)


def false_alarms(rng: np.random.Generator, nights: int, series: int, kind: str, odd: bool) -> float:
    """The share of histories with any change, in percent."""
    found = 0
    for _ in range(HISTORIES[series]):
        found += any(changes(row, kind, series) for row in draw(rng, odd, (series, nights)))
    return 100 * found / HISTORIES[series]


def detected(rng: np.random.Generator, nights: int, step: float, kind: str, last: bool) -> float:
    """The share of steps, in the middle or near the end, that are found at that very night, in percent."""
    at = nights - (2 if kind == KINDS[2] else 1) if last else nights // 2
    found = 0
    for _ in range(STEP_DRAWS):
        values = rng.normal(size=nights) + np.where(np.arange(nights) >= at, step, 0.0)
        found += changes(values, kind, 60) == (at,)
    return 100 * found / STEP_DRAWS


def main() -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    rows = []
    for nights in NIGHTS:
        for series in HISTORIES:
            ways = [*((kind, False) for kind in KINDS), (KINDS[2], True)]
            rates = [f"{false_alarms(rng, nights, series, *way):.1f}" for way in ways]
            rows.append([str(nights), str(series), *rates])
    print("\n".join(markdown_table(("nights", "series", *KINDS, "speed-up, odd nights"), rows)), "\n")
    rows = []
    for nights in NIGHTS:
        for kind in KINDS:
            cells = [f"{detected(rng, nights, step, kind, last):.0f}" for last in (False, True) for step in STEPS]
            rows.append([str(nights), kind, *cells])
    where = [f"{step:g} sd, {place}" for place in ("middle", "end") for step in STEPS]
    print("\n".join(markdown_table(("nights", "figure", *where), rows)))


if __name__ == "__main__":
    main()
