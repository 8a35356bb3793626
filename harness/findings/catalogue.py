"""The published claims by id, and their sets by name, without what measures them.

Collecting a test file must load neither torch nor scipy, so only ids are listed here. A claim's module is imported when
the claim is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from harness.findings.claim import Claim, ClaimError
from harness.spelling import did_you_mean


@dataclass(frozen=True)
class ClaimSet:
    """The claims of one source: ``attribute`` of ``module`` is the tuple of them, ``ids`` are theirs in that order."""

    module: str
    attribute: str
    ids: tuple[str, ...]


SETS: Mapping[str, ClaimSet] = MappingProxyType(
    {
        "blog": ClaimSet(
            "harness.findings.blog",
            "BLOG",
            (
                *("B1", "B1-order", "B1-middles", "B2", "B2-whole", "B3", "B4", "B5", "B5-strict", "B6", "B7", "B8"),
                *("B9", "B9-depth", "B10", "B11", "B12", "B13", "B14", "B14-depth", "B15", "B16", "B17", "B18", "B19"),
            ),
        ),
        "sd35": ClaimSet(
            "harness.findings.sd35",
            "SD35",
            (
                *("C1", "C1-mean", "C2", "C2-mean", "C3", "C3-mean", "C3-text", "C3-image", "C4", "C4-mean"),
                *("C4-listed", "C5", "C5-mean", "C6", "C6-mean", "C7", "C7-mean"),
            ),
        ),
        "pruning": ClaimSet(
            "harness.findings.pruning",
            "PRUNING",
            ("D1", "D1-depth", "D2", "D2-few", "D3", "D4", "D6", "D6-depth", "D7"),
        ),
        "healing": ClaimSet("harness.findings.healing", "HEALING", ("D5",)),
    }
)


@dataclass(frozen=True)
class ClaimReference:
    """A published claim by its id, not imported yet."""

    id: str
    source: ClaimSet

    def load(self) -> Claim:
        """Import the claim."""
        claims: tuple[Claim, ...] = getattr(import_module(self.source.module), self.source.attribute)
        return next(claim for claim in claims if claim.id == self.id)


def select(requested: Iterable[object]) -> tuple[Claim | ClaimReference, ...]:
    """The claims that names of sets (``blog``), ids (``B2``) and Claim objects stand for, in their order.

    Raises ClaimError where there are none, for an unknown name, for anything else, and for two claims of one id.
    """
    claims: list[Claim | ClaimReference] = []
    for one in requested:
        if isinstance(one, str):
            claims += _by_name(one)
        elif isinstance(one, Claim):
            claims.append(one)
        else:
            raise ClaimError(f"{one!r} is neither a Claim nor the name of one")
    ids = [claim.id for claim in claims]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise ClaimError(f"there are two claims called {', '.join(twice)}")
    return tuple(claims)


def load(claim: Claim | ClaimReference) -> Claim:
    """The claim itself, imported where it was only referred to."""
    return claim if isinstance(claim, Claim) else claim.load()


def _by_name(name: str) -> list[ClaimReference]:
    if name in SETS:
        return [ClaimReference(id_, SETS[name]) for id_ in SETS[name].ids]
    for claims in SETS.values():
        if name in claims.ids:
            return [ClaimReference(name, claims)]
    known = (*SETS, *(id_ for claims in SETS.values() for id_ in claims.ids))
    guess = did_you_mean(name, known, most=3, alike=0.5)
    sets = ", ".join(f"{name} ({claims.ids[0]} to {claims.ids[-1]})" for name, claims in SETS.items())
    raise ClaimError(f"unknown claim or set of claims {name!r}{guess}; the sets are {sets}")
