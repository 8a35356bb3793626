"""Stored values, and the comparison with them.

``baselines/<checkpoint>/<device>-<dtype>.json`` holds a value and n per case and metric; per-image values
stay in the journal. Nothing here widens a gate: tolerances are another file, written by hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from harness.errors import BaselineError
from harness.files import no_constant, number, text, write_atomically
from harness.gates.tolerances import Tolerance, tolerance_for
from harness.results.records import Check, Status, Verdict

SCHEMA = 1
GATED = ("harm", "latent_drift", "collapsed")
CONTROL_GATED = ("score", "collapsed", "reseed_latent", "fid_null")
# Kept beside the gated ones, for reading a diff; not gated.
STORED = (*GATED, "clip_delta", "grade_loss", "image_drift", "fid_ratio", "mmd", "psnr", "relative_time")
HIGHER_IS_BETTER = frozenset({"score", "grade"})
UPDATE_MODES = ("missing", "changed", "all")
DIGITS = 6  # significant digits of a stored value


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


def choose_file(folder: Path, checkpoint: str, device: str, dtype: str) -> tuple[Path | None, bool]:
    """(the best matching file, whether the match is exact). Only files of the same dtype are comparable."""
    exact = folder / checkpoint / f"{device}-{dtype}.json"
    if exact.exists():
        return exact, True
    others = sorted((folder / checkpoint).glob(f"*-{dtype}.json"))
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


def rounded(value: float) -> float:
    """To DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def save(baseline: Baseline) -> None:
    """Write the file whole or not at all. Raises HarnessError where it can't be written."""
    write_atomically(baseline.path, dump(baseline))


def compare(
    case: str,
    values: Mapping[str, float],
    stored: Mapping[str, Entry],
    tolerances: Sequence[Tolerance],
    gated: Iterable[str] = GATED,
) -> Verdict:
    """Every gated metric against its stored value. Both sides fail, under their own names.

    Higher is worse, except for HIGHER_IS_BETTER.

    A metric without a tolerance is compared as far as it is stored. A value that is not a number is a regression.
    """
    checks: list[Check] = []
    for metric in gated:
        if metric not in values:
            continue
        value, entry = values[metric], stored.get(metric)
        if entry is None:
            checks.append(Check(metric, value, None, None, Status.MISSING))
            continue
        tolerance = tolerance_for(tolerances, case, metric)
        limit = entry.limit(tolerance)
        # Stored values are rounded, so that is how finely they can be compared.
        change = (rounded(value) if math.isfinite(value) else value) - entry.value
        status = Status.OK
        if not abs(change) <= limit:  # also where the value is NaN
            better = change > 0 if metric in HIGHER_IS_BETTER else change < 0
            status = Status.STALE if better else Status.REGRESSION
        checks.append(Check(metric, value, entry.value, limit, status, _source(entry, tolerance), entry.effect))
    return Verdict(_overall(checks), tuple(checks))


def _source(entry: Entry, tolerance: Tolerance | None) -> str:
    if tolerance is None:
        return "exact"
    return tolerance.source if entry.limit(tolerance) == tolerance.limit(entry.value) else "noise floor"


def _overall(checks: Sequence[Check]) -> Status:
    """The gravest status; a case that would not even see one more block skipped is insensitive, where it is green.

    A gate sees that fault where its limit is under half of the fault's effect.
    """
    status = worst(c.status for c in checks)
    known = [c for c in checks if c.effect is not None]
    blind = bool(known) and not any(c.tolerance is not None and c.tolerance < c.effect / 2 for c in known if c.effect)
    return Status.INSENSITIVE if status is Status.OK and blind else status


def worst(statuses: Iterable[Status]) -> Status:
    """The gravest of some outcomes; OK for none."""
    order = (*(s for s in Status if s.red), Status.UNJUDGED, Status.UPDATED, Status.INSENSITIVE)
    seen = set(statuses)
    return next((s for s in order if s in seen), Status.OK)


def accepted(verdict: Verdict, mode: str) -> Verdict:
    """The verdict of a run that writes baselines: what the mode stores is no failure any more."""
    checks = tuple(
        replace(check, status=Status.UPDATED) if check.status in _writable(mode) else check for check in verdict.checks
    )
    # Bits that differ under the same fingerprint are stored anew; nothing accepts an ablation that did nothing.
    bitwise = verdict.status is Status.NONDETERMINISM and mode != "missing"
    left = () if bitwise or verdict.status is not Status.NONDETERMINISM else (verdict.status,)
    status = worst([*(c.status for c in checks), *left, *([Status.UPDATED] if bitwise else [])])
    return replace(verdict, status=status, checks=checks)


def store(baseline: Baseline, case: str, values: Mapping[str, float], n: int, verdict: Verdict, mode: str) -> bool:
    """Write a case's values into ``baseline`` as the mode allows; True where anything changed.

    ``missing`` adds what has no entry, ``changed`` also replaces a case of which a gate was red (what is
    inside its tolerance stays, so that values don't creep), ``all`` replaces everything.
    """
    entries = baseline.cases.get(case, {})
    replaces = mode == "all" or (mode == "changed" and any(c.status is Status.UPDATED for c in verdict.checks))
    # A value that is replaced takes its noise floor and its effect along: they were measured around the old one.
    fresh = {
        metric: Entry(rounded(value), n)
        for metric, value in values.items()
        if metric in STORED and math.isfinite(value) and (replaces or metric not in entries)
    }
    fresh = {m: e for m, e in fresh.items() if m not in entries or (entries[m].value, entries[m].n) != (e.value, e.n)}
    if not fresh:
        return False
    baseline.cases[case] = {**entries, **fresh}
    return True


def _writable(mode: str) -> frozenset[Status]:
    if mode == "missing":
        return frozenset({Status.MISSING})
    return frozenset({Status.MISSING, Status.REGRESSION, Status.STALE})
