"""What other installed packages add: strategies, modifiers, metrics and checkpoints, found by their entry points.

Finding reads the packages' metadata alone; nothing of theirs is imported before it is asked for by name
(checkpoints aside, whose names stand in what the entry point leads to). Whatever is wrong with one is an
ExtensionError that names the package and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from harness.errors import ExtensionError, first_line

STRATEGIES = "harness.strategies"
MODIFIERS = "harness.modifiers"
METRICS = "harness.metrics"
_CHECKPOINTS = "harness.checkpoints"
_KINDS = {STRATEGIES: "strategy", MODIFIERS: "modifier", METRICS: "metric", _CHECKPOINTS: "checkpoint"}
# They become parts of case ids, file names and -k expressions; only a checkpoint's may have dots there.
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CHECKPOINT_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")


@dataclass(frozen=True)
class Added:
    """A checkpoint that a package adds: a folder or a hub id, and the package with its version."""

    where: str
    package: str


@cache
def found(group: str, taken: frozenset[str] = frozenset()) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name, none of them loaded. ``taken`` are the harness's own names.

    Raises ExtensionError for a name that is taken, that two packages give, or that fits no case id.
    """
    points: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, package(p))):
        _check_name(_KINDS[group], point.name, point, NAME)
        _check_free(_KINDS[group], point.name, point, taken, points.get(point.name))
        points[point.name] = point
    return MappingProxyType(points)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def of_name(group: str, name: str, kind: type[_T]) -> tuple[EntryPoint, _T]:
    """An entry point and the object of ``kind`` that it leads to. Raises ExtensionError for another kind or name."""
    point = found(group)[name]
    thing = loaded(point)
    if not isinstance(thing, kind):
        raise broken(point, f"is a {type(thing).__name__}, where a harness.{kind.__name__} is needed")
    if thing.name != name:
        raise broken(point, f"calls itself {thing.name!r}; both names must be the same")
    return point, thing


def loaded(point: EntryPoint) -> Any:
    """What an entry point leads to. Raises ExtensionError naming the package where that fails, whatever the reason."""
    try:
        return point.load()
    except Exception as error:
        raise broken(point, f"doesn't load: {first_line(error, with_type=True)}") from error


def broken(point: EntryPoint, what: str) -> ExtensionError:
    """The error for a package's entry point of which something is wrong."""
    kind = _KINDS.get(point.group, "extension")
    return ExtensionError(
        f"{kind} {point.name!r} of package {package(point)} {what}; fix {point.value} there, or leave it out: "
        f"pip uninstall {package(point).split()[0]}"
    )


def package(point: EntryPoint) -> str:
    """The package that has an entry point, with its version: ``dit-extras 1.2``."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "(unknown)"


@cache
def checkpoints(taken: frozenset[str] = frozenset()) -> Mapping[str, Added]:
    """The checkpoints that packages add, by name. ``taken`` are the harness's own names.

    An entry point leads to a mapping of names to folders or hub ids, or to a function without
    arguments that gives one; its own name only labels it. Raises ExtensionError.
    """
    added: dict[str, Added] = {}
    givers: dict[str, EntryPoint] = {}
    for point in found(_CHECKPOINTS).values():
        for name, where in _mapping(point).items():
            if not isinstance(name, str) or not isinstance(where, str | Path) or not str(where):
                raise broken(point, f"gives {name!r}: {where!r}, where a name and a folder or hub id are needed")
            _check_name("checkpoint", name, point, _CHECKPOINT_NAME)
            _check_free("checkpoint", name, point, taken, givers.get(name))
            givers[name] = point
            added[name] = Added(str(where), package(point))
    return MappingProxyType(added)


def _mapping(point: EntryPoint) -> Mapping[Any, Any]:
    named = loaded(point)
    if callable(named):
        try:
            named = named()
        except Exception as error:
            raise broken(point, f"fails when it is called: {first_line(error, with_type=True)}") from error
    if not isinstance(named, Mapping):
        raise broken(point, f"is a {type(named).__name__}, where a mapping of names to folders or hub ids is needed")
    return named


def _check_name(kind: str, name: str, point: EntryPoint, grammar: re.Pattern[str]) -> None:
    if not grammar.fullmatch(name):
        raise ExtensionError(
            f"package {package(point)} adds a {kind} {name!r}: a name is lower case letters and digits with '-' "
            "between them, as it becomes part of case ids; rename it there, or "
            f"pip uninstall {package(point).split()[0]}"
        )


def _check_free(kind: str, name: str, point: EntryPoint, taken: frozenset[str], other: EntryPoint | None) -> None:
    where = ""
    if name in taken:
        where = "which the harness has itself"
    elif other is not None:
        where = f"and so does {package(other)}"
    if where:
        raise ExtensionError(
            f"package {package(point)} adds a {kind} {name!r}, {where}; rename it in one of them, or "
            f"pip uninstall {package(point).split()[0]}"
        )
