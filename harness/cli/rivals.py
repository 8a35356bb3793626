"""Compare removing blocks with fewer steps and residual reuse at the same theoretical cost."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import torch

from harness.ablation.same_cost import SPEED_UPS
from harness.cli import common
from harness.errors import OptionError
from harness.lab.lab import Lab
from harness.models.checkpoints.changed_settings import change_settings
from harness.models.checkpoints.resolve import bundled_names, resolve, transformer_config
from harness.models.environment import pick_device
from harness.report.rivals_page import markdown
from harness.results.matched_compute import Match, matched
from harness.search.rivals import measure_rivals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoints", nargs="*", metavar="CHECKPOINT", help="default: every bundled one")
    parser.add_argument(
        "--speed-up",
        action="append",
        default=[],
        metavar="X",
        help=f"theoretical speed-ups to compare at (repeat for more; default: {', '.join(map(str, SPEED_UPS))})",
    )
    common.add_markdown(parser, "the table")
    common.add_settings(parser)
    common.add_device(parser)
    common.add_threads(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure the contenders of each checkpoint, and print the table. Raises HarnessError for bad input."""
    speed_ups = _speed_ups(arguments.speed_up)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    matches: dict[str, Sequence[Match]] = {}
    for name in arguments.checkpoints or bundled_names():
        checkpoint = resolve(name)
        settings = common.read_settings(arguments)
        lab = Lab(
            change_settings(checkpoint, settings, transformer_config(checkpoint)), device=pick_device(arguments.device)
        )
        contenders = measure_rivals(lab, speed_ups, partial(_say, name))
        matches[name] = matched(contenders, speed_ups)
    text = markdown(matches)
    print(text)
    common.write_markdown(arguments.markdown, text)


def _say(checkpoint: str, line: str) -> None:
    common.say(f"{checkpoint}: {line}")


def _speed_ups(texts: Sequence[str]) -> Sequence[float]:
    values: list[float] = []
    for text in texts:
        try:
            value = float(text.removesuffix("x"))
        except ValueError:
            value = 0.0
        if not 1 < value <= 100:
            raise OptionError(f"--speed-up takes a number above 1, such as 1.25, not {text!r}")
        values.append(value)
    return values or SPEED_UPS
