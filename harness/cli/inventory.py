"""What there is to choose from: checkpoints, strategies, ranges and metrics, without loading any of them.

Whatever another package adds and can't be used is listed with its error, so that one broken package doesn't
hide the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness import extensions
from harness.ablation.strategies import STRATEGIES, Strategy, names, strategy_of
from harness.errors import CheckpointError, ExtensionError
from harness.files import parse_json
from harness.metrics.registry import BUILT_IN, NONE
from harness.models.checkpoints import hub_cache, pipeline_folder
from harness.models.checkpoints.published import PUBLISHED
from harness.models.checkpoints.resolve import Checkpoint, added, bundled_names, resolve

OWN = "harness"
_METRICS = "harness.metrics"
# What each depth is, of a stack of L blocks; a cut is L // 4.
RANGES = {
    "first": "the first quarter: what is before the middle",
    "middle": "the central half: without the first and the last quarter",
    "last": "the last quarter: what is behind the middle",
    "middle-lower": "the middle's first half, where it has at least four blocks",
    "middle-upper": "the middle's second half, where it has at least four blocks",
    "each": "every single block by itself (for skip; other strategies need two)",
}


@dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint by name: what it is made of and whether its weights are on this disk.

    ``source`` is where its files come from: bundled, a hub id, a folder; ``package`` is who adds it; ``error`` says why
    nothing more is known of it.
    """

    name: str
    family: str
    stacks: Mapping[str, int]
    weights: str
    source: str
    package: str = OWN
    error: str = ""


@dataclass(frozen=True)
class Listed:
    """A strategy or metric by name, in a line; ``error`` says why it can't be used."""

    name: str
    summary: str
    parameters: Mapping[str, str]
    least: int
    package: str = OWN
    error: str = ""


def checkpoints() -> list[CheckpointEntry]:
    """Bundled ones, real ones, and those that other packages add."""
    entries = [_entry(resolve(name), "bundled") for name in bundled_names()]
    entries += [
        CheckpointEntry(real.name, real.family.name, real.stacks, cached(real.hub_id, real.gigabytes), real.hub_id)
        for real in PUBLISHED.values()
    ]
    try:
        others = added()
    except ExtensionError as error:
        return [*entries, CheckpointEntry("-", "", {}, "", "", "", str(error))]
    for name, other in others.items():
        try:
            entries.append(_foreign(name, other))
        except CheckpointError as error:
            entries.append(CheckpointEntry(name, "", {}, "", other.where, other.package, str(error)))
    return entries


def _entry(checkpoint: Checkpoint, source: str, package: str = OWN) -> CheckpointEntry:
    where = "here" if checkpoint.hub_id == "" else cached(checkpoint.hub_id)
    return CheckpointEntry(checkpoint.name, checkpoint.family.name, checkpoint.stacks, where, source, package)


def _foreign(name: str, other: extensions.Added) -> CheckpointEntry:
    """Another package's checkpoint, without asking the hub for one that isn't on this disk."""
    if not Path(other.where).is_dir() and hub_cache.is_id(other.where) and hub_cache.snapshot(other.where) is None:
        return CheckpointEntry(name, "?", {}, cached(other.where), other.where, other.package)
    return _entry(resolve(name), other.where, other.package)


def cached(hub_id: str, gigabytes: float | None = None) -> str:
    """Whether a model's files are in the hub's cache, without asking the hub: ``here`` or what is to be done."""
    size = f", {gigabytes:.0f} GB" if gigabytes else ""
    snapshot = hub_cache.snapshot(hub_id)
    if snapshot is None:
        return f"half-downloaded{size}" if hub_cache.begun(hub_id) else f"not here{size}"
    try:
        index = parse_json((snapshot / pipeline_folder.INDEX).read_text(encoding="utf-8"))
        missing = pipeline_folder.first_missing(snapshot, index)
        if missing is None and not pipeline_folder.shards(snapshot / "transformer"):
            missing = "transformer/*.safetensors"
    except (OSError, ValueError, AttributeError, CheckpointError):
        missing = pipeline_folder.INDEX
    return "here" if missing is None else f"half-downloaded{size}: {missing} is missing"


def strategies() -> list[Listed]:
    """The harness's own, then those of other packages."""
    listed = [_listed(strategy) for strategy in STRATEGIES.values()]
    try:
        others = names()[len(STRATEGIES) :]
    except ExtensionError as error:
        return [*listed, Listed("-", "", {}, 0, "", str(error))]
    for name in others:
        try:
            listed.append(_listed(strategy_of(name)))
        except ExtensionError as error:
            package = extensions.package(extensions.found(extensions.STRATEGIES)[name])
            listed.append(Listed(name, "", {}, 0, package, str(error)))
    return listed


def _listed(strategy: Strategy) -> Listed:
    package = strategy.package or OWN
    summary = strategy.summary.replace("``", "")  # the docstring's own marks
    return Listed(strategy.name, summary, strategy.parameters, strategy.least, package)


def metrics() -> list[Listed]:
    """The extra ones, the harness's own and those of other packages. None is imported, as most would load torch."""
    listed = [Listed(name, _about(f"{_METRICS}.{name}"), {}, 0) for name in BUILT_IN]
    try:
        points = extensions.found(extensions.METRICS, frozenset((*BUILT_IN, NONE)))
    except ExtensionError as error:
        return [*listed, Listed("-", "", {}, 0, "", str(error))]
    return listed + [Listed(name, p.value, {}, 0, extensions.package(p)) for name, p in points.items()]


def _about(module: str) -> str:
    """The first line of what a module says of itself, read and not run."""
    spec = find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin else ""
    return (ast.get_docstring(ast.parse(source)) or "").split("\n", 1)[0]
