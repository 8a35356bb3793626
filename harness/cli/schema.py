"""Print the JSON Schema (draft 2020-12) of a file that is written or read here, or the names of all schemas.

python -m harness schema
python -m harness schema journal
python -m harness schema --write docs/schemas
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.analysis.layer_groups import Groups
from harness.analysis.lokr.angle_records import AngleRecord
from harness.errors import HarnessError
from harness.files import write_atomically
from harness.findings.claim import StoredFinding
from harness.findings.expected import ExpectedFile
from harness.gates.baselines import BaselineFile
from harness.gates.tolerances import ToleranceTable
from harness.models.spec import Settings
from harness.results.json_schema import schema_of
from harness.results.records import Record
from harness.workers.work import Work


@dataclass(frozen=True)
class _Tolerances:
    """Which figures are gates, and how far each may be from its stored value."""

    tolerance: tuple[ToleranceTable, ...] = ()


@dataclass(frozen=True)
class _Provenance:
    """What an exported transformer was made of, and with which versions."""

    schema: int
    harness: str
    versions: Mapping[str, str]
    transformer: str
    blocks: Mapping[str, tuple[int, ...]]
    lengths: Mapping[str, int]
    plans: Mapping[str, str]
    tensors: int
    size: int
    sha256: Mapping[str, str]
    checkpoint: str
    weights: str
    converted: str


@dataclass(frozen=True)
class _Ranking:
    """The variants of one checkpoint by harm; a number that is not finite is null."""

    checkpoint: str
    by: str
    prompts: int
    tiers: int
    rows: tuple[Mapping[str, str | float | bool | None], ...]
    gates: tuple[str, ...]
    left_out: Mapping[str, str]
    errors: Mapping[str, str]


@dataclass(frozen=True)
class _NightlyEntry:
    """One checkpoint of a nightly run; what is left out is empty, and ``shards`` 1."""

    checkpoint: str
    dtype: str = ""
    args: str = ""
    shards: int = 1


class _File(NamedTuple):
    """A kind of file: where it is, and its schema."""

    where: str
    schema: Callable[[], Any]


def _of(kind: Any, title: str, *, version: int | None = None, closed: bool = False) -> Callable[[], Any]:
    constants = {} if version is None else {"schema": version}
    return lambda: schema_of(kind, title, constants=constants, closed=closed)


def _with_empty_measured(schema: Callable[[], Any]) -> Callable[[], Any]:
    """Where nothing was measured, the circumstances are written as an empty object."""

    def made() -> Any:
        whole = schema()
        whole["properties"]["measured"] = {"anyOf": [{"type": "object", "maxProperties": 0}, *_options(whole)]}
        return whole

    def _options(whole: Any) -> list[Any]:
        return [option for option in whole["properties"]["measured"]["anyOf"] if option != {"type": "null"}]

    return made


def _list_of(schema: Callable[[], Any], title: str) -> Callable[[], Any]:
    def made() -> Any:
        inner = schema()
        top = {name: inner.pop(name) for name in ("$schema", "$defs") if name in inner}
        return {"$schema": top.pop("$schema"), "title": title, "type": "array", "items": inner, **top}

    return made


FILES: Mapping[str, _File] = {
    "journal": _File("reports/RUN/shard-*.jsonl, each line", _of(Record, "A record of the journal", version=1)),
    "ranking": _File("reports/RUN/ranking.json", _list_of(_of(_Ranking, "One ranking"), "The rankings of a run")),
    "finding": _File(
        "reports/RUN/findings.jsonl, each line",
        _with_empty_measured(_of(StoredFinding, "What a model says of a claim")),
    ),
    "baseline": _File(
        "baselines/CHECKPOINT/DEVICE-DTYPE.json", _of(BaselineFile, "Stored values of a checkpoint", version=1)
    ),
    "expected-findings": _File(
        "baselines/CHECKPOINT/findings.json",
        _with_empty_measured(_of(ExpectedFile, "Expected verdicts on claims", version=1)),
    ),
    "groups": _File("baselines/CHECKPOINT/groups.json", _of(Groups, "Groups of similar layers", version=1)),
    "tolerances": _File("baselines/tolerances.toml", _of(_Tolerances, "Tolerances of gates", closed=True)),
    "settings": _File(
        "harness.json in a checkpoint's folder", _of(Settings, "How a checkpoint is sampled", closed=True)
    ),
    "work": _File("RUN/work.json, the work file of workers", _of(Work, "Cases and how they are measured", closed=True)),
    "angles": _File(
        "the records of `angles`, each line", _of(AngleRecord, "Angular distances of a sample", closed=True)
    ),
    "ablation": _File("ablation.json of an exported model", _of(_Provenance, "Where a saved model is from", version=1)),
    "nightly": _File(
        ".github/nightly.json",
        _list_of(_of(_NightlyEntry, "One checkpoint", closed=True), "The checkpoints of a nightly run"),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", nargs="?", choices=tuple(FILES), metavar="NAME", help=f"one of {', '.join(FILES)}")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write all of them there, each as NAME.json")


def run(arguments: argparse.Namespace) -> None:
    """Print the names, or one schema; or write all of them. Raises HarnessError where they can't be written."""
    if arguments.write is not None:
        if arguments.name is not None:
            raise HarnessError("--write writes all schemas; leave out the name, or --write")
        for name in FILES:
            write_atomically(arguments.write / f"{name}.json", text(name))
        print(f"wrote {len(FILES)} schemas to {arguments.write}")
    elif arguments.name is not None:
        print(text(arguments.name), end="")
    else:
        width = max(map(len, FILES)) + 2
        print("\n".join(f"{name:<{width}}{file.where}" for name, file in FILES.items()))


def text(name: str) -> str:
    """The text of one schema."""
    return json.dumps(FILES[name].schema(), indent=2) + "\n"
