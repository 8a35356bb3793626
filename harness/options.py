"""The plugin's options: added to pytest under ``--dit-``, read once into a frozen object, validated early."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.baselines import UPDATE_MODES
from harness.case import Ask
from harness.strategies import STRATEGIES

if TYPE_CHECKING:
    from harness.registry import Checkpoint

PREFIX = "--dit-"


@dataclass(frozen=True)
class Options:
    """What was asked on the command line."""

    checkpoint: str | None
    stacks: tuple[str, ...]
    ranges: tuple[str, ...]
    strategies: tuple[str, ...]
    plans: tuple[str, ...]
    prompts: Path | None
    quick: bool
    update: str | None
    run_id: str
    reports: Path
    device: str | None
    rounds: int
    threads: int | None

    @property
    def grid(self) -> Ask | None:
        """The grid that replaces a case file's own, where any part of one was asked for."""
        if not (self.stacks or self.ranges or self.strategies):
            return None
        return Ask(self.stacks, self.ranges or ("middle",), self.strategies or tuple(STRATEGIES))

    def asks(self, checkpoint: Checkpoint, own: Sequence[Ask]) -> list[Ask]:
        """The grid for a checkpoint: the command line's if it gives one, else the case file's."""
        if self.grid is None:
            return list(own)
        return [Ask(self.grid.stacks or tuple(checkpoint.stacks), self.grid.ranges, self.grid.strategies)]


def add(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("dit", "layer ablations of diffusion transformers")

    def option(name: str, about: str, **kwargs: Any) -> None:
        group.addoption(PREFIX + name, dest=f"dit_{name.replace('-', '_')}", help=about, **kwargs)

    option("checkpoint", "a bundled checkpoint or a folder (with '='), for the cases of its family", metavar="NAME")
    option("stack", "only these stacks (repeat, or separate by commas)", action="append", metavar="NAME")
    option("range", "these ranges instead of the case file's: 3, 4-7, middle, each ...", action="append", metavar="R")
    option(
        "strategy", "these strategies instead of the case file's: skip, parallel.t3 ...", action="append", metavar="S"
    )
    option("plan", "a plan by hand instead of the grid: 'double: 0-1 (2|3|4)x3'", action="append", metavar="PLAN")
    option("prompts", "a file of prompts, one a line, instead of the checkpoint's own", metavar="FILE")
    option("quick", "a subset of the cases in under a minute; never updates anything", action="store_true")
    option("baseline-update", f"write baseline values: {', '.join(UPDATE_MODES)}", metavar="MODE")
    option("run-id", "name of the folder under reports/ (default: the time and a short hash)", metavar="ID")
    option("reports", "where run folders go (default: reports/ in pytest's root)", metavar="DIR")
    option("device", "torch device (default: the GPU where there is one)", metavar="DEVICE")
    option("rounds", "timed pairs of forwards a latency case (default: 12)", metavar="N")
    option("threads", "torch threads on the CPU (default: torch's own)", metavar="N")


def from_config(config: pytest.Config) -> Options:
    """Read and validate. Raises pytest.UsageError."""

    def text(name: str) -> str | None:
        return config.getoption(f"dit_{name}")

    def several(name: str) -> tuple[str, ...]:
        given: list[str] = config.getoption(f"dit_{name}") or []
        return tuple(part.strip() for value in given for part in value.split(",") if part.strip())

    update = text("baseline_update")
    if update is not None and update not in UPDATE_MODES:
        raise pytest.UsageError(f"--dit-baseline-update takes {', '.join(UPDATE_MODES)}, not {update!r}")
    quick = bool(config.getoption("dit_quick"))
    if quick and update is not None:
        raise pytest.UsageError("--dit-quick never updates anything; leave out --dit-baseline-update")
    prompts = text("prompts")
    # A given path is the shell's, a default belongs to the project.
    given = text("reports")
    reports = config.invocation_params.dir / given if given else config.rootpath / "reports"
    run_id = text("run_id") or _fresh_run_id()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run_id):
        raise pytest.UsageError(
            f"--dit-run-id {run_id!r}: only letters, digits, '.', '_' and '-', as it names a folder"
        )
    return Options(
        checkpoint=_checkpoint(config, text("checkpoint")),
        stacks=several("stack"),
        ranges=several("range"),
        strategies=several("strategy"),
        plans=tuple(config.getoption("dit_plan") or ()),
        prompts=config.invocation_params.dir / prompts if prompts else None,
        quick=quick,
        update=update,
        run_id=run_id,
        reports=reports,
        device=text("device"),
        rounds=_whole("rounds", text("rounds"), least=4) or (8 if quick else 12),
        threads=_whole("threads", text("threads"), least=1),
    )


def _whole(name: str, given: str | None, least: int) -> int | None:
    if given is None:
        return None
    if not given.isdecimal() or int(given) < least:
        raise pytest.UsageError(f"--dit-{name} takes a whole number from {least}, not {given!r}")
    return int(given)


def _checkpoint(config: pytest.Config, given: str | None) -> str | None:
    arguments = [str(a) for a in config.invocation_params.args]
    if given is not None and "--dit-checkpoint" in arguments and Path(given).exists():
        # pytest reads a separate path as a place to look for tests and takes it for the rootdir.
        raise pytest.UsageError(f"write --dit-checkpoint={given} with '=' (pytest would take the folder for its root)")
    return given


def _fresh_run_id() -> str:
    now = time.time_ns()
    return time.strftime("%Y%m%d-%H%M%S") + "-" + hashlib.sha256(str(now).encode()).hexdigest()[:4]
