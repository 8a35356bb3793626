"""Stored values, and the comparison with them.

``baselines/<checkpoint>/<device>-<dtype>.json`` holds a value and n per case and metric; per-image values
stay in the journal. Nothing here widens a gate: tolerances are another file, written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from harness.errors import BaselineError
from harness.files import no_constant, number, text, write_atomically
from harness.gates.tolerances import Tolerance
from harness.results.rounding import rounded

SCHEMA = 1


@dataclass(frozen=True)
class Entry:
    """A stored value over ``n`` images.

    ``tolerance`` is what its noise floor asks for (``--dit-calibrate``), ``effect`` how far one more skipped block
    moves it (``python -m harness power``); None where that was not measured.
    """

    value: float
    n: int
    tolerance: float | None = None
    effect: float | None = None

    def limit(self, tolerance: Tolerance | None) -> float:
        """How far today's value may be away: what a person allows, or less where the noise floor is lower.

        A noise floor never widens a gate: a regression can't be calibrated away.
        """
        allowed = tolerance.limit(self.value) if tolerance else 0.0
        return allowed if self.tolerance is None else min(allowed, self.tolerance)


@dataclass
class Baseline:
    """One baseline file. ``facts`` are what the values were measured with; ``control`` the control's own figures.

    ``latents`` maps a case to (digest of the fingerprint, sha256 of its latents): under the same fingerprint they
    must be bitwise the same. ``calibration`` says what the noise floors were measured under.
    """

    path: Path
    checkpoint: str
    device: str
    dtype: str
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    control: dict[str, float] = field(default_factory=dict[str, float])
    cases: dict[str, dict[str, Entry]] = field(default_factory=dict[str, dict[str, Entry]])
    latents: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    calibration: dict[str, Any] = field(default_factory=dict[str, Any])


def with_effect(entry: Entry, effect: float) -> Entry:
    """The entry with the effect of one more skipped block, as it is stored."""
    return replace(entry, effect=rounded(effect))


def without_floors(baseline: Baseline) -> Baseline:
    """The baseline with hand-written tolerances alone: on another machine its noise floors say nothing."""
    cases = {
        case: {metric: replace(entry, tolerance=None) for metric, entry in entries.items()}
        for case, entries in baseline.cases.items()
    }
    return replace(baseline, cases=cases, calibration={})


def find_folder(start: Path) -> Path | None:
    """The nearest ``baselines/`` beside or above a case file (not from pytest's rootdir, which follows the cwd)."""
    for folder in (start, *start.parents):
        if (folder / "baselines").is_dir():
            return folder / "baselines"
    return None


def file_of(folder: Path, checkpoint: str, device: str, dtype: str, subfolder: str = "") -> Path:
    """The file of a checkpoint's values: ``baselines/flux-tiny/cpu-float32.json``."""
    return folder / checkpoint / subfolder / f"{device}-{dtype}.json"


def choose_file(wanted: Path) -> tuple[Path | None, bool]:
    """(the best matching file beside ``wanted``, whether it is that very file).

    Only a file of the same dtype is comparable; one that was measured on another device is the second choice.
    """
    if wanted.exists():
        return wanted, True
    dtype = wanted.stem.rpartition("-")[2]
    others = sorted(wanted.parent.glob(f"*-{dtype}.json"))
    return (others[0], False) if others else (None, False)


def load(path: Path, checkpoint: str) -> Baseline:
    """Read a baseline file.

    Raises BaselineError, naming the place, where it is unreadable, no JSON, of another schema or of another
    checkpoint. Nothing ever writes over a file that doesn't load.
    """
    mend = "restore it from git, or move it away and run with --dit-baseline-update=all"
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=no_constant)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise BaselineError(f"baseline {path} can't be read: {error}; {mend}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = cast("dict[str, Any]", data).get("schema") if isinstance(data, dict) else type(data).__name__
        raise BaselineError(f"baseline {path} has schema {found!r}, this version reads {SCHEMA}; {mend}")
    fields_ = cast("dict[str, Any]", data)
    if fields_.get("checkpoint") != checkpoint:
        raise BaselineError(
            f"baseline {path} belongs to checkpoint {fields_.get('checkpoint')!r}, not {checkpoint!r}; {mend}"
        )
    try:
        return Baseline(
            path=path,
            checkpoint=checkpoint,
            device=text(fields_["device"]),
            dtype=text(fields_["dtype"]),
            facts=dict(fields_["facts"]),
            control={"seed_sd": number(fields_["control"]["seed_sd"])}
            | {str(k): number(v) for k, v in fields_["control"].items()},
            cases={
                str(case): {str(metric): _entry(entry) for metric, entry in metrics.items()}
                for case, metrics in fields_["cases"].items()
            },
            latents={str(k): (text(v[0]), text(v[1])) for k, v in fields_.get("latents", {}).items()},
            calibration=dict(fields_.get("calibration", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BaselineError(f"baseline {path} is not laid out as one ({error!r}); {mend}") from None


def _entry(data: Mapping[str, Any]) -> Entry:
    optional = {k: number(data[k]) for k in ("tolerance", "effect") if k in data}
    return Entry(number(data["value"]), int(data["n"]), **optional)


def dump(baseline: Baseline) -> str:
    """The file's text: sorted keys, rounded values, one line a metric, so that a diff reads well."""
    lines = ["{", '  "cases": {']
    names = sorted(baseline.cases)
    for i, case in enumerate(names):
        lines.append(f"    {json.dumps(case)}: {{")
        metrics = sorted(baseline.cases[case].items())
        for j, (metric, entry) in enumerate(metrics):
            comma = "," if j < len(metrics) - 1 else ""
            optional = {"tolerance": entry.tolerance, "effect": entry.effect}
            more = {k: rounded(v) for k, v in optional.items() if v is not None}
            value = json.dumps({"n": entry.n, "value": rounded(entry.value), **more})
            lines.append(f"      {json.dumps(metric)}: {value}{comma}")
        lines.append("    }" + ("," if i < len(names) - 1 else ""))
    lines.append("  },")
    if baseline.latents:
        pairs = [f"    {json.dumps(case)}: {json.dumps(pair)}" for case, pair in sorted(baseline.latents.items())]
        lines += ['  "latents": {', *(f"{pair}," for pair in pairs[:-1]), pairs[-1], "  },"]
    rest = {
        "checkpoint": baseline.checkpoint,
        "control": {k: rounded(v) for k, v in baseline.control.items()},
        "device": baseline.device,
        "dtype": baseline.dtype,
        "facts": baseline.facts,
        "schema": SCHEMA,
    }
    if baseline.calibration:
        rest["calibration"] = baseline.calibration
    lines += json.dumps(rest, indent=2, sort_keys=True).split("\n")[1:]
    return "\n".join(lines) + "\n"


def save(baseline: Baseline) -> None:
    """Write the file whole or not at all. Raises HarnessError where it can't be written."""
    write_atomically(baseline.path, dump(baseline))
