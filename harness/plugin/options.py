"""The plugin's options as one frozen object, checked before anything is collected.

Their names and help texts are in :mod:`harness.plugin.command_line`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.ablation.grid import Ask, grid
from harness.ablation.guidance import GuidancePass
from harness.ablation.guidance import read as read_pass
from harness.ablation.steps import Window
from harness.ablation.steps import read as read_window
from harness.errors import CaseError, OptionError, shortened
from harness.gates.rigour import Rigour
from harness.gates.update import UpdateMode
from harness.gates.validation.perturbations import Perturbation, before_torch, read
from harness.lab.budget import Budget, read_budget
from harness.loggers.table import TRACKERS, why_not
from harness.models.checkpoints import changed_settings
from harness.models.checkpoints.changed_settings import SettingsChange
from harness.models.random_weights.checkpoint import KINDS as WEIGHTS
from harness.models.random_weights.checkpoint import NO_PASSES, NO_STEPS
from harness.models.spec import BATCH, CACHE_GB, DTYPES, OFFLOADS, SEEDS, STEPS, full_dtype
from harness.plugin import workers
from harness.plugin.option_values import PREFIX, OptionValues, check_lengths, key_of, option_of, read_values
from harness.results.chosen_columns import read_columns
from harness.results.journal import JOURNALS, WHOLE, Shard
from harness.results.run_name import RULE, is_name, new_name
from harness.spelling import did_you_mean

if TYPE_CHECKING:
    from harness.models.checkpoints.resolve import Checkpoint

_MOST_CACHE_GB = 1_000_000
RANGE_SOURCES = ("depth", "groups")
# Options that make no sense with random weights, and why.
_NOT_WITH_RANDOM_WEIGHTS = {
    "baseline_update": "random weights have no quality, so there is nothing to store",
    "prompts": "random weights make no images, so no prompts are used",
    "pictures": "random weights make no images, so no pictures are taken apart",
    "judge": "random weights make no images, so nothing is judged",
    "images": "random weights make no images, so nothing is measured on them",
    "metric": "random weights make no images, so nothing is measured on them",
    "modifier": "random weights make no images, and modifiers change how those are made",
    "lora": "a LoRA on random weights means nothing",
    "adaptive": "random weights make no images, so there are no prompts to save",
    "budget": "random weights make no images, so none can be counted",
    "offload": "random weights are made on the device",
    "steps_window": NO_STEPS,
    "pass": NO_PASSES,
    "steps": "random weights run one forward, so there are no denoising steps to count",
    "seeds": "random weights make no images, so there are no seeds",
    "control_seeds": "random weights make no images, so there are no seeds",
    "control": "random weights make no images, so there are no seeds",
    "cache": "random weights make no images, so there is nothing to keep",
    "range_source": "random weights have no layers that resemble each other, so no groups are measured",
}


@dataclass(frozen=True)
class Options:
    """The command line's options, checked; None and () are options that were left out.

    ``stacks``, ``ranges``, ``strategies``, ``plans`` and ``modifiers`` replace a case file's own grid.
    ``windows`` of denoising steps and ``passes`` of guidance are what a plan holds in, where it doesn't hold in all.
    ``groups`` says that the ranges first, middle and last are measured groups and no fractions of the depth. ``seeds``
    are those of a variant,
    ``settings`` what replaces the checkpoints' own settings. ``rigour`` says which cases fail that can't be compared
    with stored values. ``rounds`` are timed pairs of forwards, ``threads`` torch's on the CPU, ``calibrate`` is a
    number of perturbed runs. ``whole_control`` asks for the control's images of every seed; ``cache`` is a folder that
    keeps what another run needs again, of at most ``cache_limit`` bytes. ``adaptive`` says that variants are measured
    on as many prompts as the ranking needs, as with a ``budget``. ``trackers`` are told the
    figures (``--dit-log``). ``typed`` are the options that the command line has, as they are written there
    (``--dit-quick``).
    """

    typed: tuple[str, ...]
    checkpoint: str | None
    stacks: tuple[str, ...]
    ranges: tuple[str, ...]
    strategies: tuple[str, ...]
    plans: tuple[str, ...]
    modifiers: tuple[str, ...]
    windows: tuple[Window, ...]
    passes: tuple[GuidancePass, ...]
    groups: bool
    prompts: Path | None
    pictures: Path | None
    images: Path | None
    quick: bool
    update: UpdateMode | None
    rigour: Rigour
    run_id: str
    reports: Path
    resume: bool
    shard: Shard
    device: str | None
    rounds: int
    seeds: int
    settings: SettingsChange
    threads: int | None
    weights: str | None
    dtype: str | None
    lora: str | None
    offload: str
    judge: str | None
    trust_judge: bool
    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    perturbations: tuple[Perturbation, ...]
    calibrate: int | None
    analysis: bool
    whole_control: bool
    cache: Path | None
    cache_limit: int
    adaptive: bool
    budget: Budget | None
    trackers: tuple[str, ...]

    @property
    def measures_whole_control(self) -> bool:
        """Whether the control is measured on all seeds: where that is asked for, or what is stored is measured anew."""
        return self.whole_control or self.calibrate is not None or self.update is not None

    @property
    def measures_same_cost(self) -> bool:
        """Whether case files are run with what their plans are compared with at the same cost.

        That needs images of all denoising steps, and the screening of a budget says nothing of it.
        """
        return self.weights is None and self.budget is None and not self.windows and not self.passes

    @property
    def has_grid(self) -> bool:
        """Whether the command line names a stack, range, strategy or modifier."""
        return bool(self.stacks or self.ranges or self.strategies or self.modifiers)

    def asks(self, checkpoint: Checkpoint, own: Sequence[Ask]) -> list[Ask]:
        """The grid for a checkpoint: the command line's if it gives one, without stacks that it lacks, else ``own``.

        A stack may be called as diffusers calls it; what is returned has our names.
        """
        names = checkpoint.family.diffusers_names
        if not self.has_grid:
            every = tuple(checkpoint.stacks)  # which an Ask of ranges without stacks is put on
            own = [ask for ask in own if self.measures_same_cost or not ask.at_same_cost]
            return [replace(ask, stacks=ask.stacks or every if ask.ranges else ()).renamed(names) for ask in own]
        ask = grid(
            checkpoint.stacks,
            only=self.stacks,
            ranges=self.ranges,
            strategies=self.strategies,
            modifiers=self.modifiers,
        )
        present = tuple(stack for stack in ask.stacks if checkpoint.has_stack(stack))
        return [replace(ask, stacks=present).renamed(names)]


def from_config(config: pytest.Config) -> Options:
    """Read and check the options, those of the configuration file included. Raises pytest.UsageError, with one line."""
    given = read_values(config, void={"weights": tuple(_NOT_WITH_RANDOM_WEIGHTS)})
    try:
        check_lengths(given)
        return _read(config, given)
    except pytest.UsageError as error:
        raise pytest.UsageError(shortened(f"{error}{_from_file(config, given, str(error))}")) from None


def _from_file(config: pytest.Config, given: OptionValues, message: str) -> str:
    """Which options of a message come from the configuration file, and its name; empty where none does."""
    keys = [key_of(name) for name in sorted(given.configured) if re.search(rf"{option_of(name)}(?![\w-])", message)]
    file = config.inipath.name if config.inipath is not None else "-o"
    return f" ({' and '.join(keys)} in {file})" if keys else ""


def _read(config: pytest.Config, given: OptionValues) -> Options:
    text, flag, several = given.text, given.flag, given.several
    mode = _one_of("baseline-update", text("baseline_update"), list(UpdateMode))
    update = None if mode is None else UpdateMode(mode)
    quick = flag("quick")
    if quick and update is not None:
        raise pytest.UsageError("--dit-quick never updates anything; leave out --dit-baseline-update")
    for other in ("quick", "stack", "range", "strategy", "range-source"):
        if given.texts("plan") and given.values.get(other.replace("-", "_")):
            raise pytest.UsageError(f"--dit-plan runs that plan alone, whatever --dit-{other} says; leave out one")
    prompts, pictures, images = text("prompts"), text("pictures"), text("images")
    weights = text("weights")
    if weights is not None:
        _check_weights(weights, {name: given.values.get(name) for name in _NOT_WITH_RANDOM_WEIGHTS})
    # A folder on the command line is the shell's, the default one belongs to the project.
    folder = text("reports")
    reports = config.invocation_params.dir / folder if folder else config.rootpath / "reports"
    shard = _shard(text("shard"))
    run = _run_folder(config, reports, given, shard)
    dtype = text("dtype")
    adaptive = flag("adaptive") or text("budget") is not None
    if adaptive:
        _check_adaptive(config, given, shard)
    return Options(
        typed=tuple(option_of(name) for name in sorted(given.typed)),
        checkpoint=_name_or_path(config, "checkpoint", text("checkpoint")),
        stacks=several("stack"),
        ranges=several("range"),
        strategies=several("strategy"),
        plans=given.texts("plan"),
        modifiers=several("modifier"),
        windows=_windows(several("steps_window")),
        passes=_passes(several("pass")),
        groups=_one_of("range-source", text("range_source"), RANGE_SOURCES) == "groups",
        prompts=config.invocation_params.dir / prompts if prompts else None,
        pictures=config.invocation_params.dir / pictures if pictures else None,
        images=config.invocation_params.dir / images if images else None,
        quick=quick,
        update=update,
        rigour=_rigour(_one_of("unjudged", text("unjudged"), ("ok",)), strict=flag("strict")),
        run_id=run.name,
        reports=run.parent,
        resume=text("resume") is not None,
        shard=shard,
        device=text("device"),
        rounds=_whole("rounds", text("rounds"), least=4, most=10_000) or (8 if quick else 12),
        seeds=_whole("seeds", text("seeds"), least=1, most=SEEDS.most) or 1,
        settings=_settings(given),
        threads=_whole("threads", text("threads"), least=1, most=1024),
        weights=weights,
        dtype=_one_of("dtype", None if dtype is None else full_dtype(dtype), DTYPES),
        lora=_name_or_path(config, "lora", text("lora")),
        offload=_one_of("offload", text("offload"), OFFLOADS) or "none",
        judge=_absolute(config, _name_or_path(config, "judge", text("judge"))),
        trust_judge=flag("trust_judge"),
        metrics=tuple(_metric(config, value) for value in given.texts("metric")),
        columns=_columns(several("columns")),
        perturbations=_perturbations(given.texts("perturb")),
        calibrate=_calibrate(config, given, quick=quick, update=update),
        analysis=flag("analysis"),
        whole_control=_one_of("control", text("control"), ("full",)) is not None,
        cache=None if text("cache") in (None, "off") else config.invocation_params.dir / str(text("cache")),
        cache_limit=(_whole("cache-limit", text("cache_limit"), 1, _MOST_CACHE_GB) or CACHE_GB) * 10**9,
        adaptive=adaptive,
        budget=_budget(text("budget")),
        trackers=_trackers(several("log")),
    )


def _trackers(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once. Raises pytest.UsageError for one that isn't known, or whose package is not installed."""
    for name in names:
        _one_of("log", name, list(TRACKERS))
        if why := why_not(name):
            raise pytest.UsageError(why)
    return tuple(dict.fromkeys(names))


def _settings(given: OptionValues) -> SettingsChange:
    text = given.text("size")
    try:
        width, height = (None, None) if text is None else changed_settings.read_size(text)
    except OptionError as error:
        raise pytest.UsageError(f"--dit-size {error}") from None
    return SettingsChange(
        steps=_whole("steps", given.text("steps"), *STEPS),
        width=width,
        height=height,
        seeds=_whole("control-seeds", given.text("control_seeds"), *SEEDS),
        batch=_whole("batch", given.text("batch"), *BATCH),
    )


def _budget(text: str | None) -> Budget | None:
    try:
        return None if text is None else read_budget(text)
    except OptionError as error:
        raise pytest.UsageError(f"--dit-budget {error}") from None


def _check_adaptive(config: pytest.Config, given: OptionValues, shard: Shard) -> None:
    """Refuse what doesn't go with measuring the variants together, on some of the prompts."""
    option = "--dit-adaptive" if given.text("budget") is None else "--dit-budget"
    for excluded, why in (
        (workers.is_controller(config) or workers.is_worker(config), "which one process decides; leave out -n"),
        (shard.count > 1, "over all variants; leave out --dit-shard"),
        (given.text("baseline_update"), "and stored values are of all prompts; leave out --dit-baseline-update"),
        (given.text("calibrate"), "and noise floors are of all prompts; leave out --dit-calibrate"),
    ):
        if excluded:
            raise pytest.UsageError(f"{option} measures each variant on as many prompts as the ranking needs, {why}")


def _rigour(unjudged: str | None, *, strict: bool) -> Rigour:
    if unjudged is not None and strict:
        raise pytest.UsageError("--dit-strict and --dit-unjudged=ok are opposites; leave out one of them")
    return Rigour.STRICT if strict else Rigour.USUAL if unjudged is None else Rigour.LENIENT


def _whole(name: str, value: str | None, least: int, most: int) -> int | None:
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) < least:
        raise pytest.UsageError(f"--dit-{name} takes a whole number from {least}, not {value!r}")
    if int(value) > most:
        raise pytest.UsageError(f"--dit-{name} takes at most {most:,}, not {value}")
    return int(value)


def _check_weights(kind: str, others: Mapping[str, object]) -> None:
    """Refuse an unknown kind of weights, and options (``others``, with their values) that don't go with random ones."""
    if kind not in WEIGHTS:
        raise pytest.UsageError(
            f"--dit-weights takes {' or '.join(WEIGHTS)}, not {kind!r}{did_you_mean(kind, WEIGHTS)}"
        )
    for name, value in others.items():
        if value is not None:
            reason = _NOT_WITH_RANDOM_WEIGHTS[name]
            raise pytest.UsageError(f"--dit-weights={kind}: {reason}; leave out {option_of(name)}")


def _one_of(name: str, value: str | None, choices: Sequence[str]) -> str | None:
    if value is not None and value not in choices:
        raise pytest.UsageError(f"--dit-{name} takes {', '.join(choices)}, not {value!r}{did_you_mean(value, choices)}")
    return value


def _windows(texts: Sequence[str]) -> tuple[Window, ...]:
    try:
        return tuple(dict.fromkeys(read_window(text) for text in texts))
    except CaseError as error:
        raise pytest.UsageError(f"--dit-steps-window: {error}") from None


def _passes(texts: Sequence[str]) -> tuple[GuidancePass, ...]:
    try:
        return tuple(dict.fromkeys(map(read_pass, texts)))
    except CaseError as error:
        raise pytest.UsageError(f"--dit-pass: {error}") from None


def _perturbations(texts: Sequence[str]) -> tuple[Perturbation, ...]:
    try:
        perturbations = tuple(read(text) for text in texts)
        before_torch(perturbations)
    except OptionError as error:
        raise pytest.UsageError(f"--dit-perturb: {error}") from None
    return perturbations


def _columns(texts: Sequence[str]) -> tuple[str, ...]:
    try:
        return read_columns(texts)
    except OptionError as error:
        raise pytest.UsageError(f"--dit-columns: {error}") from None


def _calibrate(config: pytest.Config, given: OptionValues, *, quick: bool, update: UpdateMode | None) -> int | None:
    count = _whole("calibrate", given.text("calibrate"), least=1, most=20)
    if count is None:
        return None
    for excluded, why in (
        (quick, "--dit-quick never updates anything"),
        (update is not None, "--dit-baseline-update stores new values, and a noise floor belongs to stored ones"),
        (given.texts("perturb"), "--dit-perturb is what it does itself"),
        (workers.is_controller(config), "its runs follow each other, on all cores (-n)"),
    ):
        if excluded:
            raise pytest.UsageError(f"--dit-calibrate runs alone: {why}")
    return count


def _name_or_path(config: pytest.Config, name: str, value: str | None) -> str | None:
    """The value of an option that takes a name or a path; a path must be written with '='.

    pytest reads a path that stands by itself as a place to look for tests, too, and takes it for the rootdir.
    """
    arguments = [str(a) for a in config.invocation_params.args]
    if value is not None and PREFIX + name in arguments and Path(value).exists():
        raise pytest.UsageError(f"write --dit-{name}={value} with '=' (pytest would take it for its root)")
    return value


def _absolute(config: pytest.Config, value: str | None) -> str | None:
    """A path from where pytest was started, made absolute; a name or hub id as it is."""
    if value is None:
        return None
    path = config.invocation_params.dir / value
    return str(path) if value and path.exists() else value


def _metric(config: pytest.Config, value: str) -> str:
    name, equals, where = (_name_or_path(config, "metric", value) or "").partition("=")
    return f"{name}{equals}{_absolute(config, where)}"


def _run_folder(config: pytest.Config, reports: Path, given: OptionValues, shard: Shard) -> Path:
    """The folder of this run: that of the run to go on with, or a new one."""
    resume, run_id = given.text("resume"), given.text("run_id")
    if resume is None:
        run_id = run_id or new_name()
        if not is_name(run_id):
            raise pytest.UsageError(f"--dit-run-id {run_id!r}: {RULE}")
        folder = reports / run_id
        # A worker of pytest-xdist may start when the run has begun; with --collect-only nothing is written.
        if (folder / shard.file).exists() and not (workers.is_worker(config) or config.option.collectonly):
            raise pytest.UsageError(
                f"--dit-run-id {run_id}: {folder} holds a run already; go on with it by --dit-resume={run_id}, or "
                "choose another name"
            )
        return folder
    if run_id is not None:
        raise pytest.UsageError("--dit-resume goes on with a run under its own name; leave out --dit-run-id")
    if given.flag("calibrate"):
        raise pytest.UsageError("--dit-calibrate repeats a whole run; leave out --dit-resume")
    there = config.invocation_params.dir / resume
    folder = there if there.is_dir() else reports / resume
    if not (any(folder.glob(JOURNALS)) or config.option.collectonly):
        runs = sorted(path.parent.name for path in reports.glob(f"*/{JOURNALS}"))[-5:]
        has = f"the last ones there are {', '.join(dict.fromkeys(runs))}" if runs else "there is none at all"
        guess = did_you_mean(resume, (path.parent.name for path in reports.glob(f"*/{JOURNALS}")))
        raise pytest.UsageError(f"--dit-resume {resume!r}: there is no such run in {reports}{guess}; {has}")
    return folder


def _shard(text: str | None) -> Shard:
    try:
        return Shard.of(text) if text is not None else WHOLE
    except ValueError as error:
        raise pytest.UsageError(f"--dit-shard {error}") from None
