"""Lines for tolerances.toml that allow the noise of a calibration: for a GPU or a dtype that the file doesn't know.

Nothing writes them there: a person decides whether a gate may be that wide.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import JournalError
from harness.gates.tolerances import Tolerance, applying, tolerance_for
from harness.gates.validation import noise_floor
from harness.results.columns import gated, is_count
from harness.results.records import Kind, Record
from harness.results.rounding import DIGITS


@dataclass(frozen=True)
class Suggestion:
    """An entry that would allow the noise of ``metric`` on all cases of a checkpoint; ``needed`` is how much wider."""

    checkpoint: str
    metric: str
    dtype: str
    device: str
    absolute: float
    relative: float
    needed: float
    runs: int

    @property
    def toml(self) -> str:
        """The entry as text."""
        wider = f"{self.needed:.3g} times what was allowed" if math.isfinite(self.needed) else "nothing was allowed"
        lines = [
            "[[tolerance]]",
            f"pattern = {json.dumps(self.checkpoint + '-*')}",
            f"metric = {json.dumps(self.metric)}",
            f"dtype = {json.dumps(self.dtype)}",
            f"device = {json.dumps(self.device)}",
            f"absolute = {self.absolute:g}",
            f"relative = {self.relative:g}",
            f"why = {json.dumps(f'noise in {self.runs} perturbed runs; {wider}')}",
        ]
        return "\n".join([*lines, ""])


def suggest(
    records: Sequence[Record], perturbed: Sequence[Sequence[Record]], tolerances: Sequence[Tolerance]
) -> list[Suggestion]:
    """What has to be allowed so that no perturbed run is red, for each gate that allows less.

    ``records`` are those of the unperturbed run. An entry is widened as a whole, its absolute and its relative part by
    one factor; a gate without any is given an absolute one. Raises JournalError where there is no perturbed run or one
    lacks a case.
    """
    out: list[Suggestion] = []
    for checkpoint in dict.fromkeys(record.checkpoint for record in records):
        fingerprint = next(record.fingerprint for record in records if record.checkpoint == checkpoint)
        allowed = applying(tolerances, dtype=fingerprint.dtype, device=fingerprint.device)
        for metric in gated():
            values = _values(records, checkpoint, metric)
            if is_count(metric) or not values:
                continue
            runs = [_values(run, checkpoint, metric) for run in perturbed]
            resolution = {case: noise_floor.resolution(value, DIGITS) for case, value in values.items()}
            try:
                floors, _ = noise_floor.floors(values, runs, resolution)
            except ValueError as error:
                raise JournalError(f"{checkpoint}: no tolerance can be suggested: {error}") from None
            needed = {case: floor.tolerance for case, floor in floors.items()}
            wider = _wider(values, needed, allowed, metric)
            if wider is not None:
                absolute, relative, factor = wider
                here = (checkpoint, metric, fingerprint.dtype, fingerprint.device)
                out.append(Suggestion(*here, absolute, relative, factor, len(perturbed)))
    return out


def _wider(
    values: Mapping[str, float], needed: Mapping[str, float], allowed: Sequence[Tolerance], metric: str
) -> tuple[float, float, float] | None:
    """(absolute, relative, how many times what is allowed); None where the tolerances allow what is needed."""
    factor, widest = 1.0, Tolerance("*", metric, 0.0, 0.0, "")
    for case, value in values.items():
        own = tolerance_for(allowed, case, metric)
        limit = own.limit(value) if own else 0.0
        more = needed[case] / limit if limit else math.inf
        if more > factor:
            factor, widest = more, own or widest
    if factor <= 1.0:
        return None
    if math.isinf(factor):
        return _rounded_up(max(needed.values())), 0.0, factor
    return _rounded_up(widest.absolute * factor), _rounded_up(widest.relative * factor), factor


def _rounded_up(size: float) -> float:
    """To two digits, so that nobody takes it for a measured value."""
    if size == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(size)) - 1)
    return float(f"{math.ceil(size / unit) * unit:.2g}")


def _values(records: Sequence[Record], checkpoint: str, metric: str) -> dict[str, float]:
    return {
        r.case: r.measurement.summary[metric]
        for r in records
        if r.kind is Kind.QUALITY
        and r.checkpoint == checkpoint
        and r.measurement is not None
        and metric in r.measurement.summary
    }
