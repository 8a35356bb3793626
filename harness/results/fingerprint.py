"""The fingerprint: everything that can change a number, what of it a file keeps, and what differs between two."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.results.serialise import to_plain


@dataclass(frozen=True)
class Fingerprint:
    """Everything that can change a number. ``device`` is the key of the baseline file (``cpu``).

    ``judge`` and ``metrics`` (by name) are ids with the hashes of the weights. ``machine`` stands for processor and
    torch build, ``perturbed`` names what was changed on purpose (``--dit-perturb``). ``arithmetic`` is the digest of
    what torch computes here (:mod:`harness.models.arithmetic`), which several machines share.
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
    arithmetic: str = ""

    @property
    def digest(self) -> str:
        """Twelve hex digits that stand for all of it; the arithmetic follows from the rest."""
        return _digest({k: v for k, v in dataclasses.asdict(self).items() if k != "arithmetic"})

    @property
    def conditions(self) -> str:
        """Twelve hex digits that stand for what figures must have in common to be ranked in one table.

        That is all but the machine, since the shards of one run may come from several.
        """
        return _digest({name: getattr(self, name) for name in (*_CONDITIONS, *_CONDITION_TABLES)})


_CONDITIONS = ("checkpoint", "weights", "judge", "prompts", "device", "dtype", "offload", "perturbed")
_CONDITION_TABLES = ("sampling", "versions", "metrics")


def _digest(facts: Mapping[str, object] | Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class BaselineFacts:
    """The circumstances of stored values: a baseline's ``facts``, and ``measured`` of expected verdicts.

    They are those of the fingerprint, ``metrics`` among them that are beside the built-in ones; ``control_latents`` is
    the SHA-256 of the control's latents, empty where it is not kept.
    """

    weights: str
    judge: str
    prompts: str
    sampling: Mapping[str, float | int | str]
    capability: str
    threads: int
    versions: Mapping[str, str]
    control_latents: str = ""
    metrics: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


def facts(fingerprint: Fingerprint, control_latents: str = "") -> BaselineFacts:
    """What a baseline file says of the circumstances of its values."""
    return BaselineFacts(
        weights=fingerprint.weights,
        judge=fingerprint.judge,
        prompts=fingerprint.prompts,
        sampling=dict(fingerprint.sampling),
        capability=fingerprint.capability,
        threads=fingerprint.threads,
        versions=dict(fingerprint.versions),
        control_latents=control_latents,
        metrics=dict(fingerprint.metrics),
    )


_NOT_SAMPLING = frozenset({"batch"})  # settings that no image depends on, but for its last bits


def incomparable(stored: BaselineFacts | None, now: BaselineFacts | Fingerprint) -> str:
    """Why values of now can't be compared with stored ones; empty where they can, or where nothing is stored.

    How many images are made at once is no reason: that is one of the perturbations that no gate may notice.
    """
    if stored is None:
        return ""
    other = [name for name in ("prompts", "judge") if getattr(stored, name) != getattr(now, name)]
    if _sampling(stored) != _sampling(now):
        other.append("sampling")
    return f"measured with other {' and '.join(other)} than the baseline" if other else ""


def _sampling(circumstances: BaselineFacts | Fingerprint) -> dict[str, float | int | str]:
    return {name: value for name, value in circumstances.sampling.items() if name not in _NOT_SAMPLING}


def changes(stored: BaselineFacts | None, now: BaselineFacts | Fingerprint) -> list[str]:
    """What differs from the circumstances of comparable stored values: ``diffusers 0.41.0 -> 0.42.1``."""
    if stored is None:
        return []
    return _differences(stored, now, ("weights", "capability", "threads"), ("sampling", "versions"))


def facts_digest(facts: BaselineFacts | None, *names: str) -> str:
    """Twelve hex digits for what decides whether stored values apply, and as what: an edit of it by hand shows.

    ``names`` are what else the file says of itself: its checkpoint, device, dtype.
    """
    plain = to_plain(facts, sparse=True) if facts is not None else {}
    return _digest([*names, plain])


def circumstances(a: Fingerprint, b: Fingerprint) -> list[str]:
    """What differs between two fingerprints: ``diffusers 0.41.0 -> 0.42.1``."""
    texts = ("checkpoint", "weights", "device", "dtype", "capability", "threads")
    return _differences(a, b, texts, ("sampling", "versions"))


def measured_differently(a: Fingerprint, b: Fingerprint) -> list[str]:
    """Why figures of two fingerprints are not ranked in one table: ``dtype float32 -> bfloat16``; [] where they are."""
    return _differences(a, b, _CONDITIONS, _CONDITION_TABLES)


def _differences(old: object, new: object, fields: Sequence[str], tables: Sequence[str]) -> list[str]:
    """``name old -> new`` for each of ``fields``, then for each key of ``tables`` (fields that are mappings)."""
    pairs: list[tuple[str, object, object]] = [
        (name, _text(getattr(old, name)), _text(getattr(new, name))) for name in fields
    ]
    for table in tables:
        before, after = getattr(old, table), getattr(new, table)
        pairs += [(key, before.get(key, "-"), after.get(key, "-")) for key in sorted({*before, *after})]
    return [f"{name} {before} -> {after}" for name, before, after in pairs if before != after]


def _text(value: object) -> object:
    """As it is said: several perturbations as ``batch=2 ulp=1``, and none of them, or no judge, as ``none``."""
    return (" ".join(map(str, value)) if isinstance(value, tuple) else value) or "none"
