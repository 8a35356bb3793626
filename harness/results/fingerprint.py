"""The fingerprint: everything that can change a number, and what differs between two of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fingerprint:
    """Everything that can change a number. ``device`` is the key of the baseline file (``cpu``).

    ``judge`` and ``metrics`` (by name) are ids with the hashes of the weights. ``machine`` stands for processor and
    torch build, ``perturbed`` names what was changed on purpose (``--dit-perturb``).
    """

    checkpoint: str
    weights: str
    judge: str
    prompts: str
    sampling: Mapping[str, float | int | str]
    device: str
    dtype: str
    capability: str
    threads: int
    versions: Mapping[str, str]
    metrics: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    offload: str = "none"
    machine: str = ""
    perturbed: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Twelve hex digits that stand for all of it."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def facts(fingerprint: Fingerprint) -> dict[str, object]:
    """What a baseline file says of the circumstances of its values."""
    return {
        "weights": fingerprint.weights,
        "judge": fingerprint.judge,
        "prompts": fingerprint.prompts,
        "sampling": dict(fingerprint.sampling),
        "capability": fingerprint.capability,
        "threads": fingerprint.threads,
        "versions": dict(fingerprint.versions),
    }


def incomparable(stored: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Why values of now can't be held against stored ones, or nothing."""
    other = [name for name in ("prompts", "judge", "sampling") if stored.get(name) != now[name]]
    return f"measured with other {' and '.join(other)} than the baseline" if other else ""


def changes(stored: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What is different from the circumstances of the baseline: ``diffusers 0.41.0 -> 0.42.1``."""
    names_ = ("weights", "capability", "threads")
    out = [f"{name} {stored.get(name)} -> {now[name]}" for name in names_ if stored.get(name) != now[name]]
    old, new = stored.get("versions"), now["versions"]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        out += [f"{p} {old.get(p, '-')} -> {new.get(p, '-')}" for p in sorted({*old, *new}) if old.get(p) != new.get(p)]
    return out


def circumstances(a: Fingerprint, b: Fingerprint) -> list[str]:
    """What differs between two fingerprints: ``diffusers 0.41.0 -> 0.42.1``."""
    out: list[str] = []
    for name in ("checkpoint", "weights", "device", "dtype", "capability", "threads"):
        one, two = getattr(a, name), getattr(b, name)
        if one != two:
            out.append(f"{name} {one} -> {two}")
    for left, right in ((a.sampling, b.sampling), (a.versions, b.versions)):
        moved = (key for key in sorted({*left, *right}) if left.get(key) != right.get(key))
        out += [f"{key} {left.get(key, '-')} -> {right.get(key, '-')}" for key in moved]
    return out
