"""Stored values, and the comparison with them.

``baselines/<checkpoint>/<device>-<dtype>.json`` holds a value and n per case and metric; per-image values
stay in the journal. Nothing here widens a gate: tolerances are another file, written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import BaselineError, DataError
from harness.files import write_atomically
from harness.gates.tolerances import Tolerance
from harness.results.fingerprint import BaselineFacts, facts_digest
from harness.results.rounding import rounded
from harness.results.serialise import Count, Finite, Size, parse, to_plain

_SCHEMA = 1


_ROUNDED = frozenset({"seed_sd", "seed_sd_low", "seed_sd_high", "score", "first_score"})
UNPERTURBED = "unperturbed"  # the name of the run without a perturbation among those of a calibration


@dataclass(frozen=True)
class Mode:
    """Another value that a figure has although nothing is wrong: ``under`` are the perturbations that switch to it."""

    value: Finite
    under: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A stored value over ``n`` images.

    ``tolerance`` is what its noise floor asks for (``--dit-calibrate``), ``effect`` how far one more skipped block
    moves it (``python -m harness power``); None where that was not measured. Where a calibration found the figure at
    two values instead of one, ``mode`` is the other; the tolerance holds around each. ``low`` and ``high`` are the 95 %
    interval of a value that is not reproducible, as a time is not.
    """

    value: Finite
    n: Count
    tolerance: Size | None = None
    effect: Finite | None = None
    mode: Mode | None = None
    low: Finite | None = None
    high: Finite | None = None

    @property
    def half_width(self) -> float:
        """How far the end of the interval that is further away is from the value; 0 where it has no interval."""
        ends = [end for end in (self.low, self.high) if end is not None]
        return max((abs(end - self.value) for end in ends), default=0.0)

    def nearest(self, value: float) -> float:
        """The stored value that a value is compared with: that of the nearer mode."""
        if self.mode is not None and abs(value - self.mode.value) < abs(value - self.value):
            return self.mode.value
        return self.value

    def limit(self, tolerance: Tolerance | None) -> float:
        """How far today's value may be away: what a person allows, or less where the noise floor is lower.

        A noise floor never widens a gate: a regression can't be calibrated away.
        """
        allowed = tolerance.limit(self.value) if tolerance else 0.0
        return allowed if self.tolerance is None else min(allowed, self.tolerance)


@dataclass(frozen=True)
class ControlFigures:
    """The figures of the un-ablated model. ``seed_sd``, its seed-to-seed deviation, is the unit of every stored harm.

    ``others`` are the rest by name: ``score``, ``reseed_latent``, those of extra metrics.
    """

    seed_sd: float
    others: Mapping[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def of(cls, figures: Mapping[str, float]) -> ControlFigures:
        """From figures by name, ``seed_sd`` among them. Raises KeyError where it isn't."""
        return cls(figures["seed_sd"], {name: value for name, value in figures.items() if name != "seed_sd"})

    @property
    def by_name(self) -> dict[str, float]:
        """All figures, ``seed_sd`` among them."""
        return {"seed_sd": self.seed_sd, **self.others}


@dataclass(frozen=True)
class Calibration:
    """What the noise floors of a baseline (``Entry.tolerance``) were measured under, by ``--dit-calibrate``.

    ``max_t`` has for each metric the largest deviation of any case, in that case's own scale
    (:mod:`harness.gates.validation.noise_floor`); a tolerance is ``margin`` times that. The noise floors hold wherever
    the ``arithmetic`` is that of one of their runs, which has a digest for each by its perturbation;
    ``processor`` says where they were measured.
    """

    perturbations: tuple[str, ...]
    margin: Size
    max_t: Mapping[str, Size]
    processor: str
    capability: str
    threads: int
    versions: Mapping[str, str]
    arithmetic: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass
class Baseline:
    """One baseline file. ``facts`` are what the values were measured with, ``control`` the control's own figures.

    A file has both; they are None in a baseline that nothing was stored in yet. ``latents`` maps a case to (digest of
    the fingerprint, SHA-256 of its latents): under the same fingerprint they must be bitwise the same.
    """

    path: Path
    checkpoint: str
    device: str
    dtype: str
    facts: BaselineFacts | None = None
    control: ControlFigures | None = None
    cases: dict[str, dict[str, Entry]] = field(default_factory=dict[str, dict[str, Entry]])
    latents: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    calibration: Calibration | None = None

    @property
    def seed_sd(self) -> float:
        """The unit of the stored harms. Raises BaselineError where nothing of the control is stored."""
        if self.control is None:
            raise BaselineError(f"baseline {self.path} has no control; run with --dit-baseline-update=all")
        return self.control.seed_sd


@dataclass(frozen=True)
class BaselineFile:
    """A baseline file as it is laid out."""

    checkpoint: str
    device: str
    dtype: str
    facts: BaselineFacts
    control: Mapping[str, Finite]
    cases: Mapping[str, Mapping[str, Entry]]
    latents: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    calibration: Calibration | None = None
    facts_digest: str = ""


def with_effect(entry: Entry, effect: float) -> Entry:
    """The entry with the effect of one more skipped block, as it is stored."""
    return replace(entry, effect=rounded(effect))


def without_floors(baseline: Baseline) -> Baseline:
    """The baseline with hand-written tolerances alone: under other arithmetic its noise floors say nothing."""
    cases = {
        case: {metric: replace(entry, tolerance=None, mode=None) for metric, entry in entries.items()}
        for case, entries in baseline.cases.items()
    }
    return replace(baseline, cases=cases, calibration=None)


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


def load(path: Path, checkpoint: str, *, unsigned: bool = False) -> Baseline:
    """Read a baseline file.

    Raises BaselineError, naming the place, where it is unreadable, no JSON, of another schema, of another checkpoint,
    device or dtype than its path says, has a key twice, or a unit of harm that is none, and where its facts are not
    those that it was written with. Nothing ever writes over a file that doesn't load; an update alone reads one that is
    ``unsigned``, without a digest of its facts, and writes that.
    """
    fix = "restore it from git, or move it away and run with --dit-baseline-update=all"
    try:
        content = parse(BaselineFile, path.read_text(encoding="utf-8"), schema=_SCHEMA)
    except DataError as error:
        raise BaselineError(f"baseline {path} is not laid out as one: {error}; {fix}") from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"baseline {path} can't be read: {error}; {fix}") from None
    if content.checkpoint != checkpoint:
        raise BaselineError(f"baseline {path} belongs to checkpoint {content.checkpoint!r}, not {checkpoint!r}; {fix}")
    if "seed_sd" not in content.control:
        raise BaselineError(f"baseline {path} is not laid out as one: control.seed_sd is missing; {fix}")
    if not content.control["seed_sd"] > 0:
        raise BaselineError(
            f"baseline {path} has control.seed_sd {content.control['seed_sd']}, which is the unit of harm and above 0; "
            f"{fix}"
        )
    if path.stem != f"{content.device}-{content.dtype}":
        raise BaselineError(
            f"baseline {path} says that it is of {content.device!r} and {content.dtype!r}, which is another name; {fix}"
        )
    if content.facts_digest != _facts_digest(content) and not (unsigned and not content.facts_digest):
        raise BaselineError(_edited(path, content.facts_digest))
    return Baseline(
        path=path,
        checkpoint=checkpoint,
        device=content.device,
        dtype=content.dtype,
        facts=content.facts,
        control=ControlFigures.of(content.control),
        cases={case: dict(entries) for case, entries in content.cases.items()},
        latents=dict(content.latents),
        calibration=content.calibration,
    )


def _facts_digest(content: BaselineFile | Baseline) -> str:
    """Twelve hex digits for what decides whether and as what a file's values are compared, so that edits show."""
    return facts_digest(content.facts, content.checkpoint, content.device, content.dtype)


def _edited(path: Path, digest: str) -> str:
    if digest:
        return (
            f"baseline {path} was edited: its facts (checkpoint, prompts, judge, sampling ...) are not those that its "
            "values were measured with; restore it from git, or move it away and run with --dit-baseline-update=all"
        )
    return f"baseline {path} has no digest of its facts; --dit-baseline-update=missing writes it"


def dump(baseline: Baseline) -> str:
    """The file's text: sorted keys, rounded values, one line a metric, so that a diff reads well."""
    lines = ["{", '  "cases": {']
    names = sorted(baseline.cases)
    for i, case in enumerate(names):
        lines.append(f"    {json.dumps(case)}: {{")
        metrics = sorted(baseline.cases[case].items())
        for j, (metric, entry) in enumerate(metrics):
            comma = "," if j < len(metrics) - 1 else ""
            optional = {"low": entry.low, "high": entry.high, "tolerance": entry.tolerance, "effect": entry.effect}
            more: dict[str, Any] = {k: rounded(v) for k, v in optional.items() if v is not None}
            if entry.mode is not None:
                more["mode"] = {"value": rounded(entry.mode.value), "under": list(entry.mode.under)}
            value = json.dumps({"n": entry.n, "value": rounded(entry.value), **more})
            lines.append(f"      {json.dumps(metric)}: {value}{comma}")
        lines.append("    }" + ("," if i < len(names) - 1 else ""))
    lines.append("  },")
    if baseline.latents:
        pairs = [f"    {json.dumps(case)}: {json.dumps(pair)}" for case, pair in sorted(baseline.latents.items())]
        lines += ['  "latents": {', *(f"{pair}," for pair in pairs[:-1]), pairs[-1], "  },"]
    control = baseline.control.by_name if baseline.control is not None else {}
    rest = {
        "checkpoint": baseline.checkpoint,
        # What drifts are divided by is stored whole: a run that takes it from here has the drifts of one that makes it.
        "control": {k: rounded(v) if k in _ROUNDED else v for k, v in control.items()},
        "device": baseline.device,
        "dtype": baseline.dtype,
        "facts": to_plain(baseline.facts, sparse=True) if baseline.facts is not None else {},
        "facts_digest": _facts_digest(baseline),
        "schema": _SCHEMA,
    }
    if baseline.calibration is not None:
        rest["calibration"] = to_plain(baseline.calibration, sparse=True)
    lines += json.dumps(rest, indent=2, sort_keys=True).split("\n")[1:]
    return "\n".join(lines) + "\n"


def save(baseline: Baseline) -> None:
    """Write the file whole or not at all. Raises HarnessError where it can't be written."""
    write_atomically(baseline.path, dump(baseline))
