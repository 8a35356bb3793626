"""``baselines/tolerances.toml``: how far a value may be from its baseline, written by hand alone."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from harness.errors import BaselineError, DataError
from harness.results.serialise import Finite, Rule, from_plain, no_unknown_fields


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


_Size = Annotated[Finite, Rule(lambda size: size >= 0.0, "a number from 0 upwards")]


@dataclass(frozen=True)
class _Entry:
    """One ``[[tolerance]]`` table; ``why`` is for people."""

    pattern: str
    metric: str
    absolute: _Size = 0.0
    relative: _Size = 0.0
    why: str = ""


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
    tolerances: list[Tolerance] = []
    for place, table in enumerate(data.get("tolerance", []), start=1):
        try:
            entry = from_plain(_Entry, no_unknown_fields(_Entry, table))
        except DataError as error:
            raise BaselineError(f"tolerances {path}: entry {place} is wrong: {error}; fix it there") from None
        source = f'{path.name} "{entry.pattern}"'
        tolerances.append(Tolerance(entry.pattern, entry.metric, entry.absolute, entry.relative, source))
    return tolerances


def tolerance_for(tolerances: Sequence[Tolerance], case: str, metric: str) -> Tolerance | None:
    """The last entry whose patterns match, as in .gitignore; None gates nothing."""
    fitting = (t for t in tolerances if t.metric == metric and fnmatchcase(case, t.pattern))
    return next(iter(list(fitting)[::-1]), None)
