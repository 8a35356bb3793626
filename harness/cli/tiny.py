"""The bundled models: train them from nothing, or measure one and write its model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import common
from harness.cli.model_card import evaluate, write_card, write_judge_card
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.models.environment import pick_device
from harness.tiny.train import TARGETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two commands below this one, and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train a bundled model from nothing; resumes where it was stopped")
    train.add_argument("target", choices=(*TARGETS, "all"))
    train.add_argument("--work", type=Path, default=Path("training"), help="checkpoints and logs (default: training/)")
    train.add_argument("--out", type=Path, default=None, help="where the weights go (default: WORK/out)")
    card = commands.add_parser("evaluate", help="measure a bundled model and write its model card")
    card.add_argument("checkpoint", help="a bundled checkpoint, a folder, or judge")
    card.add_argument(
        "--layouts",
        type=common.whole_number(1, 1_000_000),
        default=1024,
        help="held-out layouts (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Train or evaluate."""
    if arguments.action == "train":
        _train(arguments)
    else:
        _evaluate(arguments)


def _train(arguments: argparse.Namespace) -> None:
    out = arguments.out or arguments.work / "out"
    for name in TARGETS if arguments.target == "all" else (arguments.target,):
        TARGETS[name](arguments.work, out, pick_device(None))
        print(f"wrote {out}")


def _evaluate(arguments: argparse.Namespace) -> None:
    if arguments.checkpoint == "judge":
        print(f"wrote {write_judge_card(BUNDLED / 'judge', arguments.layouts)}")
        return
    checkpoint = resolve(arguments.checkpoint)
    print(f"wrote {write_card(checkpoint, evaluate(checkpoint, arguments.layouts))}")
