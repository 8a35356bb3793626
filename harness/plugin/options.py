"""The plugin's options: added to pytest under ``--dit-``, read once into a frozen object, validated early."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.ablation.grid import Ask
from harness.ablation.steps import Window
from harness.ablation.steps import read as read_window
from harness.ablation.strategies import ALL_STRATEGIES
from harness.errors import CaseError, OptionError
from harness.gates.update import UpdateMode
from harness.gates.validation.perturbations import KINDS, Perturbation, before_torch, read
from harness.models.random_weights.checkpoint import KINDS as WEIGHTS
from harness.models.random_weights.checkpoint import NO_STEPS
from harness.models.spec import DTYPES, OFFLOADS

if TYPE_CHECKING:
    from harness.models.checkpoints.resolve import Checkpoint

PREFIX = "--dit-"
# What makes no sense with random weights, and why.
USELESS = {
    "baseline_update": "random weights have no quality, so there is nothing to store",
    "prompts": "random weights make no images, so no prompts are used",
    "judge": "random weights make no images, so nothing is judged",
    "metric": "random weights make no images, so nothing is measured on them",
    "lora": "a LoRA on random weights means nothing",
    "offload": "random weights are made on the device",
    "steps_window": NO_STEPS,
    "range_source": "random weights have no layers that resemble each other, so no groups are measured",
}
RANGE_SOURCES = ("depth", "groups")


@dataclass(frozen=True)
class Options:
    """What was asked on the command line."""

    checkpoint: str | None
    stacks: tuple[str, ...]
    ranges: tuple[str, ...]
    strategies: tuple[str, ...]
    plans: tuple[str, ...]
    windows: tuple[Window, ...]
    groups: bool  # first, middle and last are measured groups, not fractions of the depth
    prompts: Path | None
    quick: bool
    update: UpdateMode | None
    run_id: str
    reports: Path
    device: str | None
    rounds: int
    threads: int | None
    weights: str | None
    dtype: str | None
    lora: str | None
    offload: str
    judge: str | None
    trust_judge: bool
    metrics: tuple[str, ...]
    perturbations: tuple[Perturbation, ...]
    calibrate: int | None
    analysis: bool

    @property
    def grid(self) -> Ask | None:
        """The grid that replaces a case file's own, where any part of one was asked for."""
        if not (self.stacks or self.ranges or self.strategies):
            return None
        return Ask(self.stacks, self.ranges or ("middle",), self.strategies or ALL_STRATEGIES)

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

    option(
        "checkpoint",
        "a bundled or real checkpoint by name, a hub id in the cache, or a folder (with '='), for its family's cases",
        metavar="NAME",
    )
    option(
        "weights", f"{' or '.join(WEIGHTS)}: no download and no quality, but surgery, latency, memory", metavar="KIND"
    )
    option("stack", "only these stacks (repeat, or separate by commas)", action="append", metavar="NAME")
    option("range", "these ranges instead of the case file's: 3, 4-7, middle, each ...", action="append", metavar="R")
    option(
        "strategy", "these strategies instead of the case file's: skip, parallel.t3 ...", action="append", metavar="S"
    )
    option("plan", "a plan by hand instead of the grid: 'double: 0-1 (2|3|4)x3'", action="append", metavar="PLAN")
    option("range-source", f"what first, middle and last are: {' or '.join(RANGE_SOURCES)} as measured", metavar="KIND")
    option(
        "steps-window",
        "ablate in these denoising steps alone: 2, 0-1 ... (from 0; each window makes its own cases)",
        action="append",
        metavar="W",
    )
    option("prompts", "a file of prompts, one a line, instead of the checkpoint's own", metavar="FILE")
    option("trust-judge", "rank and gate by a judge that fails its check, too; the table says so", action="store_true")
    option("judge", "open_clip's ARCHITECTURE/TAG or a folder (with '='), not the checkpoint's own", metavar="JUDGE")
    option(
        "metric",
        "an extra metric, its weights at a file, folder or hub id: lpips, dinov2=FOLDER, none ...",
        action="append",
        metavar="NAME[=WHERE]",
    )
    option(
        "quick", "a subset of the cases, in about half a minute a model; never updates anything", action="store_true"
    )
    option("baseline-update", f"write baseline values: {', '.join(UpdateMode)}", metavar="MODE")
    option("run-id", "name of the folder under reports/ (default: the time and a short hash)", metavar="ID")
    option("reports", "where run folders go (default: reports/ in pytest's root)", metavar="DIR")
    option("device", "torch device (default: the GPU where there is one)", metavar="DEVICE")
    option("rounds", "timed pairs of forwards a latency case (default: 12)", metavar="N")
    option("dtype", f"hold the weights as {', '.join(DTYPES)} (default: the checkpoint's own)", metavar="DTYPE")
    option("lora", "a LoRA on top: a .safetensors file or folder (with '='), or a hub id in the cache", metavar="LORA")
    option("offload", f"keep weights in main memory until the GPU needs them: {', '.join(OFFLOADS)}", metavar="MODE")
    option(
        "perturb",
        f"run under a change that must not matter: {', '.join(f'{k}={kind.takes}' for k, kind in KINDS.items())}",
        action="append",
        metavar="KIND=VALUE",
    )
    option("analysis", "run the layer analysis and the published claims, too", action="store_true")
    option("calibrate", "run the cases under K such changes, too, and store how far values move", metavar="K")
    option("threads", "torch threads on the CPU (default: torch's own)", metavar="N")


def from_config(config: pytest.Config) -> Options:
    """Read and validate. Raises pytest.UsageError."""

    def text(name: str) -> str | None:
        return config.getoption(f"dit_{name}")

    def several(name: str) -> tuple[str, ...]:
        given: list[str] = config.getoption(f"dit_{name}") or []
        return tuple(part.strip() for value in given for part in value.split(",") if part.strip())

    mode = _one_of("baseline-update", text("baseline_update"), list(UpdateMode))
    update = None if mode is None else UpdateMode(mode)
    quick = bool(config.getoption("dit_quick"))
    if quick and update is not None:
        raise pytest.UsageError("--dit-quick never updates anything; leave out --dit-baseline-update")
    prompts = text("prompts")
    weights = text("weights")
    if weights is not None:
        _check_weights(weights, {name: text(name) for name in USELESS})
    # A given path is the shell's, a default belongs to the project.
    given = text("reports")
    reports = config.invocation_params.dir / given if given else config.rootpath / "reports"
    run_id = text("run_id") or _fresh_run_id()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run_id):
        raise pytest.UsageError(
            f"--dit-run-id {run_id!r}: only letters, digits, '.', '_' and '-', as it names a folder"
        )
    return Options(
        checkpoint=_place(config, "checkpoint", text("checkpoint")),
        stacks=several("stack"),
        ranges=several("range"),
        strategies=several("strategy"),
        plans=tuple(config.getoption("dit_plan") or ()),
        windows=_windows(several("steps_window")),
        groups=_one_of("range-source", text("range_source"), RANGE_SOURCES) == "groups",
        prompts=config.invocation_params.dir / prompts if prompts else None,
        quick=quick,
        update=update,
        run_id=run_id,
        reports=reports,
        device=text("device"),
        rounds=_whole("rounds", text("rounds"), least=4) or (8 if quick else 12),
        threads=_whole("threads", text("threads"), least=1),
        weights=weights,
        dtype=_one_of("dtype", text("dtype"), DTYPES),
        lora=_place(config, "lora", text("lora")),
        offload=_one_of("offload", text("offload"), OFFLOADS) or "none",
        judge=_folder_or_name(config, _place(config, "judge", text("judge"))),
        trust_judge=bool(config.getoption("dit_trust_judge")),
        metrics=tuple(_metric(config, given) for given in config.getoption("dit_metric") or ()),
        perturbations=_perturbations(config.getoption("dit_perturb") or ()),
        calibrate=_calibrate(config, quick=quick, update=update),
        analysis=bool(config.getoption("dit_analysis")),
    )


def _whole(name: str, given: str | None, least: int) -> int | None:
    if given is None:
        return None
    if not given.isdecimal() or int(given) < least:
        raise pytest.UsageError(f"--dit-{name} takes a whole number from {least}, not {given!r}")
    return int(given)


def _check_weights(kind: str, others: Mapping[str, str | None]) -> None:
    """Refuse an unknown kind of weights, and what has no meaning beside random ones."""
    if kind not in WEIGHTS:
        raise pytest.UsageError(f"--dit-weights takes {' or '.join(WEIGHTS)}, not {kind!r}")
    for name, given in others.items():
        if given is not None:
            option = name.replace("_", "-")
            raise pytest.UsageError(f"--dit-weights={kind}: {USELESS[name]}; leave out --dit-{option}")


def _one_of(name: str, given: str | None, known: Sequence[str]) -> str | None:
    if given is not None and given not in known:
        raise pytest.UsageError(f"--dit-{name} takes {', '.join(known)}, not {given!r}")
    return given


def _windows(given: Sequence[str]) -> tuple[Window, ...]:
    try:
        return tuple(dict.fromkeys(read_window(text) for text in given))
    except CaseError as error:
        raise pytest.UsageError(f"--dit-steps-window: {error}") from None


def _perturbations(given: Sequence[str]) -> tuple[Perturbation, ...]:
    try:
        found = tuple(read(text) for text in given)
        before_torch(found)
    except OptionError as error:
        raise pytest.UsageError(f"--dit-perturb: {error}") from None
    return found


def _calibrate(config: pytest.Config, *, quick: bool, update: str | None) -> int | None:
    count = _whole("calibrate", config.getoption("dit_calibrate"), least=1)
    if count is None:
        return None
    for beside, why in (
        (quick, "--dit-quick never updates anything"),
        (update is not None, "--dit-baseline-update stores new values, and a noise floor belongs to stored ones"),
        (config.getoption("dit_perturb"), "--dit-perturb is what it does itself"),
        (getattr(config.option, "numprocesses", None), "its runs follow each other, on all cores (-n)"),
    ):
        if beside:
            raise pytest.UsageError(f"--dit-calibrate runs alone: {why}")
    return count


def _place(config: pytest.Config, name: str, given: str | None) -> str | None:
    """A name, hub id or path, as given."""
    arguments = [str(a) for a in config.invocation_params.args]
    if given is not None and PREFIX + name in arguments and Path(given).exists():
        # pytest reads a separate path as a place to look for tests and takes it for the rootdir.
        raise pytest.UsageError(f"write --dit-{name}={given} with '=' (pytest would take it for its root)")
    return given


def _folder_or_name(config: pytest.Config, given: str | None) -> str | None:
    """A path from where pytest was started, if it is one; else the name or hub id as given."""
    if given is None:
        return None
    path = config.invocation_params.dir / given
    return str(path) if given and path.exists() else given


def _metric(config: pytest.Config, given: str) -> str:
    name, equals, where = (_place(config, "metric", given) or "").partition("=")
    return f"{name}{equals}{_folder_or_name(config, where)}"


def _fresh_run_id() -> str:
    now = time.time_ns()
    return time.strftime("%Y%m%d-%H%M%S") + "-" + hashlib.sha256(str(now).encode()).hexdigest()[:4]
