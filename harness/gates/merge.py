"""Putting together the baseline files that the shards of a run stored, each of its own cases."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import BaselineError, HarnessError
from harness.files import parse_json
from harness.gates import baselines
from harness.gates.baselines import Baseline, Calibration, ControlFigures
from harness.results.fingerprint import BaselineFacts, changes, incomparable

_T = TypeVar("_T")


def merge_folders(target: Path, parts: Sequence[Path]) -> list[Path]:
    """Bring what changed in copies of a baselines folder into it; the paths of the files that changed.

    Each of ``parts`` is the folder ``target`` as one shard left it. Values of cases that were stored by several files
    of one name are put together. Other files (expected verdicts, groups) come from the one shard that changed them.
    Raises BaselineError where two shards changed the same thing differently, or a file can't be read or written.
    """
    names = sorted({path.relative_to(part) for part in parts for path in part.rglob("*.json")})
    written: list[Path] = []
    for name in names:
        own = target / name
        before = own.read_bytes() if own.exists() else None
        changed = [part / name for part in parts if (part / name).exists() and (part / name).read_bytes() != before]
        if not changed:
            continue
        own.parent.mkdir(parents=True, exist_ok=True)
        if all((path.read_bytes() == changed[0].read_bytes()) for path in changed):
            shutil.copyfile(changed[0], own)
        elif not _holds_cases(changed[0]):
            raise BaselineError(f"{changed[0]} and {changed[1]} are both changed, and differ; take one of them by hand")
        else:
            checkpoint = name.parts[0]
            stored = baselines.load(own, checkpoint) if before is not None else None
            whole = merged(stored, [baselines.load(path, checkpoint) for path in changed])
            baselines.save(replace(whole, path=own))
        written.append(own)
    return written


def merged(stored: Baseline | None, parts: Sequence[Baseline]) -> Baseline:
    """What was ``stored`` (None: nothing) with the changes that each part made to it.

    Raises BaselineError where parts were measured differently, or changed one value differently.
    """
    # Only the shard with the control's own test stores new circumstances; the others still have the stored ones.
    anew = [part for part in parts if stored is None or (part.facts, part.control) != (stored.facts, stored.control)]
    measured = anew or parts
    first = measured[0]
    for part in measured[1:]:
        if why := _why_not_together(first, part):
            raise BaselineError(f"{first.path} and {part.path} can't be put together: {why}; run the shards again")
    cases: dict[str, dict[str, Any]] = {} if stored is None else {c: dict(e) for c, e in stored.cases.items()}
    latents = {} if stored is None else dict(stored.latents)
    old_latents = dict(latents)
    old = {(case, metric): entry for case, entries in cases.items() for metric, entry in entries.items()}
    new: dict[tuple[str, str], Any] = {}
    new_latents: dict[str, tuple[str, str]] = {}
    for part in parts:
        entries = {(case, m): entry for case, by_metric in part.cases.items() for m, entry in by_metric.items()}
        _take(new, entries, old, part.path)
        _take(new_latents, part.latents, old_latents, part.path)
        for case, metric in old.keys() - entries.keys():
            cases[case].pop(metric, None)  # a figure that was stored and is no more
    for (case, metric), entry in new.items():
        cases.setdefault(case, {})[metric] = entry
    return replace(
        first,
        facts=_most_complete([part.facts for part in measured]),
        control=_control(measured),
        cases=cases,
        latents=latents | new_latents,
        calibration=_calibration([part.calibration for part in parts if part.calibration is not None]),
    )


def _why_not_together(a: Baseline, b: Baseline) -> str:
    if (a.checkpoint, a.device, a.dtype) != (b.checkpoint, b.device, b.dtype):
        return "they are of another checkpoint, device or dtype"
    if a.facts is None or b.facts is None:
        return "one of them says nothing of how it was measured"
    if a.seed_sd != b.seed_sd:
        return f"their units of harm are {a.seed_sd} and {b.seed_sd}"
    differences = changes(a.facts, b.facts)
    return incomparable(a.facts, b.facts).replace("than the baseline", "each") or ", ".join(differences)


def _take(into: dict[Any, _T], entries: Mapping[Any, _T], old: Mapping[Any, _T], path: Path) -> None:
    """Add the entries that a part changed. Raises BaselineError for one that another part changed differently."""
    for key, entry in entries.items():
        if old.get(key) == entry:
            continue
        if key in into and into[key] != entry:
            name = " ".join(key) if isinstance(key, tuple) else key
            raise BaselineError(f"{path} has {name} otherwise than another shard; were the cases split in two ways?")
        into[key] = entry


def _most_complete(facts: Sequence[BaselineFacts | None]) -> BaselineFacts | None:
    """The circumstances of the shard that measured the control itself, where one did."""
    there = [each for each in facts if each is not None]
    return max(there, key=lambda each: (bool(each.control_latents), len(each.metrics)), default=None)


def _control(parts: Sequence[Baseline]) -> ControlFigures | None:
    figures = [part.control for part in parts if part.control is not None]
    return max(figures, key=lambda control: len(control.others), default=None)


def _calibration(parts: Sequence[Calibration]) -> Calibration | None:
    """One account of the noise floors: the largest deviation of each metric in any shard."""
    if not parts:
        return None
    names = sorted({name for part in parts for name in part.max_t})
    largest = {name: max(part.max_t.get(name, 0.0) for part in parts) for name in names}
    arithmetic: dict[str, str] = {}
    for part in parts:
        arithmetic |= part.arithmetic
    return replace(parts[0], max_t=largest, arithmetic=arithmetic)


def _holds_cases(path: Path) -> bool:
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path} can't be read: {error}; restore it") from None
    return isinstance(data, dict) and "cases" in data
