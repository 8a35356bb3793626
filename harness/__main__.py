"""``python -m harness``: report, and the training of the bundled models."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cli import angles, compare, convert, export, false_reds, lokr, power, upgrade
from harness.cli import list as listing
from harness.errors import HarnessError
from harness.models.spec import DTYPES, OFFLOADS
from harness.tiny import TRAINED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Errors that a user can cause are one line on stderr, exit 4."""
    parser = argparse.ArgumentParser(prog="python -m harness", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    report = commands.add_parser("report", help="rank a run again, from its journal alone")
    report.add_argument("run", type=Path, help="a folder under reports/, or a journal file")
    report.set_defaults(call=_report)

    fingerprint = commands.add_parser("fingerprint", help="print what can change a number, and the latents' hash")
    fingerprint.add_argument("checkpoint", help="a bundled or real checkpoint, a hub id in the cache, or a folder")
    fingerprint.add_argument("--device", default=None)
    fingerprint.add_argument("--dtype", choices=DTYPES, default=None)
    fingerprint.add_argument("--lora", default=None, help="a .safetensors file, a folder or a hub id in the cache")
    fingerprint.add_argument("--offload", choices=OFFLOADS, default="none")
    fingerprint.add_argument("--threads", type=int, default=None, help="torch threads on the CPU")
    fingerprint.set_defaults(call=_fingerprint)

    tiny = commands.add_parser("tiny", help="the bundled models").add_subparsers(required=True, metavar="COMMAND")
    train = tiny.add_parser("train", help="train a bundled model from nothing; resumes where it was stopped")
    train.add_argument("target", choices=(*TRAINED, "all"))
    train.add_argument("--work", type=Path, default=Path("training"), help="checkpoints and logs (default: training/)")
    train.add_argument("--out", type=Path, default=None, help="where the weights go (default: WORK/out)")
    train.set_defaults(call=_train)
    card = tiny.add_parser("evaluate", help="measure a bundled model and write its model card")
    card.add_argument("checkpoint", help="a bundled checkpoint, a folder, or judge")
    card.add_argument("--layouts", type=int, default=1024, help="held-out layouts (default: 1024)")
    card.set_defaults(call=_evaluate)

    for command in (angles, compare, convert, export, false_reds, listing, lokr, power, upgrade):
        command.add(commands)

    given = parser.parse_args(arguments)
    try:
        return given.call(given) or 0
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    except BrokenPipeError:
        # The reader (head, say) has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _report(given: argparse.Namespace) -> None:
    from harness.report import write
    from harness.report.ranking_terminal import render
    from harness.results.journal import read

    records = read(given.run)
    folder = given.run if given.run.is_dir() else given.run.parent
    print(render(records, shutil.get_terminal_size().columns, sys.stdout.isatty()), end="")
    for path in write(folder, records):
        print(f"wrote {path}")


def _fingerprint(given: argparse.Namespace) -> None:
    import dataclasses

    import torch

    from harness.lab.lab import Lab
    from harness.models.checkpoints.resolve import resolve
    from harness.models.environment import pick_device

    if given.threads:
        torch.set_num_threads(given.threads)
    checkpoint = resolve(given.checkpoint, dtype=given.dtype, lora=given.lora)
    lab = Lab(checkpoint, device=pick_device(given.device), offload=given.offload)
    facts = dataclasses.asdict(lab.fingerprint)
    facts["sampled"] = lab.prompts[:8]
    facts["latents_sha256"] = lab.sampler.sample(facts["sampled"], seed=0).sha256()
    print(json.dumps(facts, indent=2, sort_keys=True))


def _train(given: argparse.Namespace) -> None:
    from harness.models.environment import pick_device
    from harness.tiny.train import TARGETS

    out = given.out or given.work / "out"
    for name in TARGETS if given.target == "all" else (given.target,):
        TARGETS[name](given.work, out, pick_device(None))
        print(f"wrote {out}")


def _evaluate(given: argparse.Namespace) -> None:
    from harness.cli.model_card import evaluate, write_card, write_judge_card
    from harness.models.checkpoints.resolve import BUNDLED, resolve

    if given.checkpoint == "judge":
        print(f"wrote {write_judge_card(BUNDLED / 'judge', given.layouts)}")
        return
    checkpoint = resolve(given.checkpoint)
    print(f"wrote {write_card(checkpoint, evaluate(checkpoint, given.layouts))}")


if __name__ == "__main__":
    sys.exit(main())
