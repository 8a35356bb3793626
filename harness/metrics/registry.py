"""The extra metrics there are, by name: the four built in, and those that other packages add by entry point."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from harness import extensions
from harness.errors import HarnessError, MetricError, first_line
from harness.spelling import did_you_mean

if TYPE_CHECKING:
    import torch

    from harness.metrics.base import Metric

BUILT_IN = ("inception", "lpips", "dinov2", "pickscore")
NONE = "none"  # instead of a name: not even those that are tried by themselves


@dataclass(frozen=True)
class Asked:
    """A metric by name, and the folder, file or hub id of its weights where that was given."""

    name: str
    where: str | None = None


@dataclass(frozen=True)
class Opened:
    """The metrics that can be measured, and by name why others can't."""

    metrics: tuple[Metric, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


def _names() -> tuple[str, ...]:
    """All metrics that can be asked for. Raises ExtensionError where a package adds one under a bad name."""
    return (*BUILT_IN, *extensions.found(extensions.METRICS, frozenset((*BUILT_IN, NONE))))


def _parse(text: str) -> Asked:
    """``NAME`` or ``NAME=FOLDER, FILE or hub id``. Raises HarnessError for an unknown name or an empty place."""
    name, equals, where = (part.strip() for part in text.partition("="))
    if name not in _names():
        raise HarnessError(f"unknown metric {name!r}{did_you_mean(name, _names())}; there are {', '.join(_names())}")
    if equals and not where:
        raise HarnessError(f"metric {text!r}: nothing after '='; give a folder, a file or a hub id, or leave '=' out")
    return Asked(name, where or None)


def _parse_all(texts: Sequence[str]) -> tuple[Asked, ...]:
    """Several of them. Raises HarnessError as :func:`_parse`, and for a name that is given twice."""
    asked: dict[str, Asked] = {}
    for text in texts:
        one = _parse(text)
        if one.name in asked:
            raise HarnessError(f"metric {one.name!r} is asked for twice; leave one out")
        asked[one.name] = one
    return tuple(asked.values())


def open_all(texts: Sequence[str], device: torch.device, *, trying: bool) -> Opened:
    """The metrics that ``texts`` ask for; with ``trying`` also those of the built-in ones that can be measured here.

    Raises HarnessError where one that was asked for can't be measured. What was only tried is left out by name.
    """
    if NONE in texts:
        if len(texts) > 1:
            raise HarnessError(f"{NONE!r} leaves all metrics out; it can't stand beside another")
        return Opened()
    asked = _parse_all(texts)
    metrics = {one.name: make(one, device) for one in asked}
    left_out: list[tuple[str, str]] = []
    for name in BUILT_IN if trying else ():
        if name in metrics:
            continue
        try:
            metrics[name] = make(Asked(name), device)
        except MetricError as error:
            left_out.append((name, error.short))
    order = [*BUILT_IN, *(one.name for one in asked if one.name not in BUILT_IN)]
    return Opened(tuple(metrics[name] for name in order if name in metrics), tuple(left_out))


def make(asked: Asked, device: torch.device) -> Metric:
    """The metric itself, with its weights. Raises MetricError or ExtensionError where it can't be measured."""
    if asked.name in BUILT_IN:
        module = importlib.import_module(f"harness.metrics.{asked.name}")
        return cast("Metric", module.make(asked.where, device))
    return _added(asked, device)


def _added(asked: Asked, device: torch.device) -> Metric:
    """A metric of another package: its entry point is a function of (where, device)."""
    from harness.metrics.base import Embedder, Grader, PairDistance, TextScorer

    point = extensions.found(extensions.METRICS, frozenset((*BUILT_IN, NONE)))[asked.name]
    factory = cast("Callable[[str | None, torch.device], Any]", extensions.loaded(point))
    if not callable(factory):
        raise extensions.broken(point, f"is a {type(factory).__name__}, where a function of (where, device) is needed")
    try:
        metric = factory(asked.where, device)
    except HarnessError:
        raise
    except Exception as error:
        raise extensions.broken(point, f"can't be made: {first_line(error, with_type=True)}") from error
    if not isinstance(metric, Embedder | PairDistance | TextScorer | Grader):
        raise extensions.broken(
            point,
            f"gives a {type(metric).__name__}, where an Embedder, a PairDistance, a TextScorer or a Grader is needed",
        )
    lacking = [field for field in ("id", "weights") if not isinstance(getattr(metric, field, None), str)]
    if lacking:
        raise extensions.broken(point, f"gives a metric without the text {lacking[0]!r}, which the fingerprint needs")
    if isinstance(metric, Grader) and not _names_grades(getattr(metric, "grades", None)):
        raise extensions.broken(point, "gives a Grader without 'grades', a tuple of the names of what it grades")
    metric.name = asked.name  # its columns are called what it was asked for
    return metric


def _names_grades(grades: object) -> bool:
    return isinstance(grades, tuple) and bool(grades) and all(isinstance(grade, str) and grade for grade in grades)
