"""The plugin's options as pytest's parser and ``pytest --help`` know them; :mod:`harness.plugin.options` reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import pytest

from harness.gates.update import UpdateMode
from harness.gates.validation.perturbations import KINDS
from harness.loggers.table import TRACKERS
from harness.models.checkpoints.changed_settings import SIZE_FORM
from harness.models.random_weights.checkpoint import KINDS as WEIGHTS
from harness.models.spec import CACHE_GB, DTYPES, OFFLOADS, SHORT_DTYPES
from harness.plugin.option_values import FLAGS, LISTS, PREFIX, WITHOUT_KEY, key_of
from harness.plugin.options import RANGE_SOURCES
from harness.results.chosen_columns import HELP as COLUMNS_HELP


class _Option(Protocol):
    """Registers an option: its name without ``--dit-``, its line in the help, and what argparse takes beside."""

    def __call__(self, name: str, about: str, **kwargs: Any) -> None: ...


def _what_is_run(option: _Option) -> None:
    option(
        "checkpoint",
        "run its family's cases on this checkpoint: a name, a hub id in the cache, or a folder (written with '=')",
        metavar="NAME",
    )
    option(
        "weights",
        f"{' or '.join(WEIGHTS)} weights instead of trained ones: no download and no images; checks that plans are "
        "applied, and measures latency and memory",
        metavar="KIND",
    )
    option("stack", "only these stacks (repeat, or separate by commas)", action="append", metavar="NAME")
    option("range", "these ranges instead of the case file's: 3, 4-7, middle, each ...", action="append", metavar="R")
    option(
        "strategy", "these strategies instead of the case file's: skip, parallel.t3 ...", action="append", metavar="S"
    )
    option("plan", "a plan by hand instead of the grid: 'double: 0-1 (2|3|4)x3'", action="append", metavar="PLAN")
    option(
        "modifier",
        "these modifiers: on each plan of --dit-strategy or --dit-plan, else alone: fewer-steps.3, "
        "single-L02-07-reuse.n2, a+b for both at once ... (repeat, or separate by commas)",
        action="append",
        metavar="M",
    )
    option(
        "range-source",
        "whether first, middle and last are fractions of a stack's depth (the default), or the groups of layers that "
        f"the analysis measured: {' or '.join(RANGE_SOURCES)}",
        metavar="KIND",
    )
    option(
        "steps-window",
        "ablate in these denoising steps only: 2, 0-1 ... (counted from 0; each window makes cases of its own)",
        action="append",
        metavar="W",
    )
    option(
        "pass",
        "ablate in this pass of guidance only: uncond, cond (each makes cases of its own)",
        action="append",
        metavar="PASS",
    )
    option("lora", "a LoRA on top: a .safetensors file or folder (with '='), or a hub id in the cache", metavar="LORA")
    option("analysis", "run the layer analysis and the published claims, too", action="store_true")


def _fewer_images(option: _Option) -> None:
    option(
        "quick",
        "a few strategies on the middle ranges, about half a minute a model; stores no baselines",
        action="store_true",
    )
    option(
        "adaptive",
        "measure each variant on as many prompts as its place in the ranking needs: about a quarter of the images",
        action="store_true",
    )
    option(
        "budget",
        "spend no more than this (2h, 90m, '800 images' of the control): screen first, then measure adaptively, the "
        "most promising variants first",
        metavar="AMOUNT",
    )
    option(
        "cache",
        "keep prompt embeddings and the control's images in this folder, for runs under the same fingerprint (default: "
        "off)",
        metavar="DIR|off",
    )
    option("cache-limit", f"gigabytes that the cache may hold (default: {CACHE_GB})", metavar="N")


def _how_it_is_measured(option: _Option) -> None:
    option("prompts", "a file of prompts, one a line, instead of the checkpoint's own", metavar="FILE")
    option(
        "pictures",
        "for a model that takes pictures apart into layers: a folder of them, each NAME.png with a NAME.txt that says "
        "what is on it",
        metavar="FOLDER",
    )
    option(
        "images",
        "a folder of pictures, each NAME.png with its caption in NAME.txt, that analyses and claims noise instead of "
        "the model's own",
        metavar="FOLDER",
    )
    option(
        "judge",
        "score by this open_clip model instead of the checkpoint's own: ARCHITECTURE/TAG, or a folder (with '=')",
        metavar="JUDGE",
    )
    option(
        "trust-judge", "rank and compare also by a judge that fails its check; the table says so", action="store_true"
    )
    option(
        "metric",
        "an extra metric, its weights in a file, folder or at a hub id: lpips, dinov2=FOLDER ...; none: no extra ones",
        action="append",
        metavar="NAME[=WHERE]",
    )
    option("steps", "denoising steps (default: the checkpoint's)", metavar="N")
    option("size", f"size of the images: {SIZE_FORM} (default: the checkpoint's)", metavar="PIXELS")
    option("batch", "images in one forward (default: the checkpoint's)", metavar="N")
    option("seeds", "seeds that a variant is run on, at most the control's (default: 1)", metavar="N")
    option("control-seeds", "seeds that the control is run on, 2 or more (default: the checkpoint's)", metavar="N")
    option(
        "control",
        "full: make the control's images of every seed; without it only those that variants are measured on, where the "
        "other figures of the control are stored",
        metavar="full",
    )
    option("rounds", "timed pairs of forwards a latency case (default: 12, with --dit-quick 8)", metavar="N")
    option(
        "dtype",
        f"hold the weights as {', '.join(DTYPES)}, or for short {', '.join(SHORT_DTYPES)} (default: the checkpoint's)",
        metavar="DTYPE",
    )


def _judging(option: _Option) -> None:
    option(
        "baseline-update",
        f"store what is measured as baseline: {UpdateMode.MISSING} (only what has none yet), {UpdateMode.CHANGED} "
        f"(what fails, too) or {UpdateMode.ALL}",
        metavar="MODE",
    )
    option(
        "unjudged",
        "ok: let cases pass whose stored values don't apply, as with other prompts or another judge; they fail without",
        metavar="ok",
    )
    option("strict", "let cases fail that have no stored values at all, too", action="store_true")
    option(
        "calibrate",
        "repeat the run under K perturbations, and store how far each value moves (its noise floor)",
        metavar="K",
    )
    option(
        "perturb",
        "run under a perturbation, which no gate may notice: "
        f"{', '.join(f'{name}={kind.takes}' for name, kind in KINDS.items())}",
        action="append",
        metavar="KIND=VALUE",
    )


def _device(option: _Option) -> None:
    option("device", "torch device (default: the GPU where there is one)", metavar="DEVICE")
    option("offload", f"keep weights in main memory until the GPU needs them: {', '.join(OFFLOADS)}", metavar="MODE")
    option("threads", "torch threads on the CPU (default: torch's own)", metavar="N")


def _going_on(option: _Option) -> None:
    option("run-id", "name of the folder under reports/ (default: the time and a short hash)", metavar="ID")
    option(
        "resume",
        "go on with a run (its id, or its folder): what its journal holds is not measured again",
        metavar="RUN",
    )
    option(
        "shard",
        "run only the I-th of N parts of the cases (2/4); python -m harness merge puts the parts together",
        metavar="I/N",
    )


def _output(option: _Option) -> None:
    option(
        "columns",
        COLUMNS_HELP,
        action="append",
        metavar="NAME",
    )
    option(
        "log",
        f"tell these trackers each case's figures and the ranking, too: {', '.join(TRACKERS)} (repeat, or separate by "
        "commas)",
        action="append",
        metavar="TRACKER",
    )
    option("reports", "where run folders go (default: reports/ in pytest's root)", metavar="DIR")


# What one wants to do, in the order of ``pytest --help``, and the options for it.
_PURPOSES: Mapping[str, Callable[[_Option], None]] = {
    "what is run": _what_is_run,
    "fewer images": _fewer_images,
    "how it is measured": _how_it_is_measured,
    "judging by stored values": _judging,
    "on which device": _device,
    "going on with a run, and several machines": _going_on,
    "output": _output,
}


def add_options(parser: pytest.Parser) -> None:
    """Register every option, in a group for each thing that one wants to do."""
    for purpose, add in _PURPOSES.items():
        heading = f"dit: {purpose}"
        add(partial(_register, parser, parser.getgroup(heading, heading)))


def _register(parser: pytest.Parser, group: pytest.OptionGroup, name: str, about: str, **kwargs: Any) -> None:
    plain = name.replace("-", "_")
    group.addoption(PREFIX + name, dest=key_of(plain), help=about, **kwargs)
    if plain not in WITHOUT_KEY:
        parser.addini(key_of(plain), f"the same as {PREFIX}{name}, which goes first", **_kind(plain))


def _kind(name: str) -> dict[str, Any]:
    """The type of an option's key in the configuration file, and its value there where it is left out."""
    if name in FLAGS:
        return {"type": "bool", "default": False}
    return {"type": "linelist", "default": []} if name in LISTS else {"type": "string", "default": None}
