"""``baselines/tolerances.toml``: how far a value may be from its baseline, written by hand alone."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import BaselineError
from harness.files import number, text


@dataclass(frozen=True)
class Tolerance:
    """``absolute + relative * |baseline|`` for the metrics and cases that the patterns match."""

    pattern: str
    metric: str
    absolute: float
    relative: float
    source: str

    def limit(self, baseline: float) -> float:
        """How far a value may be from a baseline."""
        return self.absolute + self.relative * abs(baseline)


def load_tolerances(path: Path) -> list[Tolerance]:
    """Read ``tolerances.toml``: ``[[tolerance]]`` tables with pattern, metric, absolute, relative.

    Raises BaselineError naming the file and the entry.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BaselineError(f"tolerances {path} can't be read: {error}") from None
    unknown = set(data) - {"tolerance"}
    if unknown or not isinstance(data.get("tolerance", []), list):
        raise BaselineError(f"tolerances {path}: only [[tolerance]] tables are known, found {sorted(data)}")
    out: list[Tolerance] = []
    for place, entry in enumerate(data.get("tolerance", []), start=1):
        try:
            wrong = set(entry) - {"pattern", "metric", "absolute", "relative", "why"}
            if wrong:
                raise ValueError(f"unknown key {', '.join(sorted(wrong))}")
            made = Tolerance(
                pattern=text(entry["pattern"]),
                metric=text(entry["metric"]),
                absolute=number(entry.get("absolute", 0.0)),
                relative=number(entry.get("relative", 0.0)),
                source=f'{path.name} "{entry["pattern"]}"',
            )
            if made.absolute < 0 or made.relative < 0:
                raise ValueError("a tolerance is not negative")
            out.append(made)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BaselineError(f"tolerances {path}: entry {place} is wrong: {error!r}") from None
    return out


def tolerance_for(tolerances: Sequence[Tolerance], case: str, metric: str) -> Tolerance | None:
    """The last entry whose patterns match, as in .gitignore; None gates nothing."""
    fitting = (t for t in tolerances if t.metric == metric and fnmatchcase(case, t.pattern))
    return next(iter(list(fitting)[::-1]), None)
