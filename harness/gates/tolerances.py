"""``tolerances.toml``: which figures are gates, and how far each may be from its stored value. Written by hand alone.

It stands in the folder of the baselines. A folder without one has the tolerances that come with the harness
(:data:`DEFAULTS`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from harness.errors import BaselineError, DataError
from harness.results import columns
from harness.results.serialise import Finite, Rule, from_plain, no_unknown_fields

FILE = "tolerances.toml"
DEFAULTS = Path(__file__).with_name(FILE)


@dataclass(frozen=True)
class Tolerance:
    """``absolute + relative * |baseline|`` for the metric on the cases, dtypes and devices that the patterns match."""

    pattern: str
    metric: str
    absolute: float
    relative: float
    source: str
    dtype: str = "*"
    device: str = "*"

    @property
    def file(self) -> str:
        """The name of the file that it is from."""
        return self.source.partition(' "')[0]

    def limit(self, baseline: float) -> float:
        """How far a value may be from a baseline."""
        return self.absolute + self.relative * abs(baseline)


_Size = Annotated[Finite, Rule(lambda size: size >= 0.0, "a number from 0 upwards")]


@dataclass(frozen=True)
class ToleranceTable:
    """One ``[[tolerance]]`` table; ``why`` is for people."""

    pattern: str
    metric: str
    absolute: _Size = 0.0
    relative: _Size = 0.0
    why: str = ""
    dtype: str = "*"
    device: str = "*"


def load_tolerances(path: Path) -> list[Tolerance]:
    """Read a file of ``[[tolerance]]`` tables: pattern, metric, absolute, relative, and perhaps dtype and device.

    Raises BaselineError naming the file and the entry, also for a metric that no baseline holds: it would gate nothing.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows write a mark at the start
    except RecursionError:
        raise BaselineError(f"tolerances {path} can't be read: they are nested too deeply") from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"tolerances {path} can't be read: {error}") from None
    unknown = set(data) - {"tolerance"}
    if unknown or not isinstance(data.get("tolerance", []), list):
        raise BaselineError(f"tolerances {path}: only [[tolerance]] tables are known, found {sorted(data)}")
    tolerances: list[Tolerance] = []
    for place, table in enumerate(data.get("tolerance", []), start=1):
        try:
            entry = from_plain(ToleranceTable, no_unknown_fields(ToleranceTable, table))
        except DataError as error:
            raise BaselineError(f"tolerances {path}: entry {place} is wrong: {error}; fix it there") from None
        if not columns.can_be_gated(entry.metric):
            raise BaselineError(
                f"tolerances {path}: entry {place} is wrong: no baseline holds {entry.metric!r}, so it gates nothing; "
                f"there are {', '.join(columns.can_be_gated_names())}, and those of extra metrics (lpips.drift)"
            )
        source = f'{path.name} "{entry.pattern}"'
        if path == DEFAULTS:
            source = f"the harness's {source}"
        tolerances.append(
            Tolerance(entry.pattern, entry.metric, entry.absolute, entry.relative, source, entry.dtype, entry.device)
        )
    return tolerances


def tolerances_of(folder: Path) -> tuple[Tolerance, ...]:
    """The tolerances of a baselines folder: its own file's alone, or else :data:`DEFAULTS`. Raises BaselineError."""
    own = folder / FILE
    return tuple(load_tolerances(own if own.exists() else DEFAULTS))


def applying(tolerances: Iterable[Tolerance], *, dtype: str, device: str) -> tuple[Tolerance, ...]:
    """Those whose patterns match a dtype (``bfloat16``) and the key of a device (``cpu``, ``nvidia-h200``)."""
    return tuple(t for t in tolerances if fnmatchcase(dtype, t.dtype) and fnmatchcase(device, t.device))


def tolerance_for(tolerances: Sequence[Tolerance], case: str, metric: str) -> Tolerance | None:
    """The last entry whose patterns match, as in .gitignore; None where the metric is no gate of the case."""
    fitting = (t for t in tolerances if t.metric == metric and fnmatchcase(case, t.pattern))
    return next(iter(list(fitting)[::-1]), None)


def gates_of(tolerances: Sequence[Tolerance], case: str, names: Iterable[str]) -> tuple[str, ...]:
    """The gates of a case among the names of figures, in the order of a failure's lines: counts come last."""
    gates = {name for name in names if tolerance_for(tolerances, case, name) is not None}
    return columns.in_order(gates)
