"""The command line: finds the command that was chosen, loads its module, runs it, and turns errors into one line."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, cast

from harness.cli import common
from harness.errors import HarnessError, missing_package, shortened
from harness.interrupts import sigterm_as_ctrl_c
from harness.spelling import did_you_mean


class _Command(NamedTuple):
    """The module of a command, and its line in ``--help``."""

    module: str
    help: str


class CommandModule(Protocol):
    """What the module of a command has; see :mod:`harness.cli`."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""

    def run(self, arguments: argparse.Namespace) -> int | None:
        """Do it; the exit code, None for 0."""


COMMANDS = {
    "init": _Command("init", "make cases, tolerances and a workflow in a repository of your own"),
    "list": _Command("list", "show checkpoints, strategies and ranges; with a checkpoint, what a sweep over it costs"),
    "models": _Command("models", "show which stacks a transformer of diffusers has, and what can be done to them"),
    "screen": _Command("screen", "rank single skips and plans by their velocity error, at the cost of some 30 images"),
    "search": _Command("search", "find the least harmful blocks to leave out for a speed-up, a size or a number"),
    "rivals": _Command("rivals", "compare removing blocks with fewer steps and reuse at the same theoretical cost"),
    "truth": _Command("truth", "measure all sets of left-out blocks of a small model, to score searches against"),
    "sweep": _Command("sweep", "measure a grid by workers: here, on a Ray cluster, or as jobs of Slurm"),
    "worker": _Command("worker", "measure the cases of a work file into a run folder that workers share"),
    "report": _Command("report", "write the ranking of runs again, from their journals alone, several side by side"),
    "history": _Command("history", "show what changed over many runs and since when: harm, drift and speed-up"),
    "merge": _Command("merge", "put together what several machines measured of one run"),
    "night": _Command(
        "night", "the steps of a nightly workflow: what is stored, summary, annotations, issue, baselines"
    ),
    "compare": _Command("compare", "show what differs between two runs: of two versions, devices or checkpoints"),
    "upgrade": _Command("upgrade", "show what moves from one version of diffusers to another; --run makes the runs"),
    "bisect": _Command("bisect", "find the first release of diffusers that changed the results"),
    "repeat": _Command("repeat", "run the quick cases many times without any fault, and count the red runs"),
    "false-reds": _Command("false_reds", "count the red runs among finished runs without any fault"),
    "calibrate": _Command("calibrate", "show how noisy a calibrated run was, and suggest tolerances that allow it"),
    "power": _Command("power", "inject known faults one at a time and show which of them the gates catch"),
    "angles": _Command("angles", "measure the angular distance across every block, on noised images"),
    "lokr": _Command("lokr", "weigh blocks by angular distance and write a LyCORIS file for SimpleTuner"),
    "export": _Command("export", "save the transformer under a plan as a model that diffusers loads"),
    "heal": _Command("heal", "train a pruned model until it does again what the whole one does, and save it"),
    "convert": _Command("convert", "write the weights of a .pth file as safetensors, the only format read here"),
    "schema": _Command("schema", "print the JSON Schema of a file that is written or read here"),
    "fingerprint": _Command("fingerprint", "print everything that can change a figure, and a hash of the latents"),
    "tiny": _Command("tiny", "train or evaluate the bundled models"),
}


# How ``--help`` shows them; what is in no group stands under its own heading at the end.
GROUPS = {
    "begin in a repository of your own": ("init",),
    "look at what there is, and at runs": ("list", "models", "report", "compare", "history"),
    "measure on several machines, and every night": ("sweep", "worker", "merge", "night"),
    "check versions of diffusers and its companions": ("upgrade", "bisect"),
    "check the tests themselves": ("calibrate", "power", "repeat", "false-reds", "truth"),
    "analyse and change models": ("screen", "search", "rivals", "angles", "lokr", "export", "heal", "convert"),
    "bundled models, this machine, file formats": ("tiny", "fingerprint", "schema"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Errors that a user can cause are one line on stderr, exit code 4.

    Ctrl-C, and SIGTERM likewise, end it with what there is, exit code 130.

    ``arguments`` are those of the process where there are none. Raises SystemExit as argparse does: 0 after ``--help``,
    2 for a command line that doesn't parse.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a plus-minus sign shows a question mark
    try:
        return _run(words)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "harness":
            raise
        print(f"error: {missing_package(error.name)}", file=sys.stderr)
        return 4
    except BrokenPipeError:
        # The reader (head, say) has closed its end; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"error: {shortened(str(error))}", file=sys.stderr)
        return 4
    except KeyboardInterrupt as stop:
        go_on = stop.go_on if isinstance(stop, common.Stopped) else ""
        print(f"stopped; {go_on}" if go_on else "stopped", file=sys.stderr)
        return 130


def load(name: str) -> CommandModule:
    """The module of a command."""
    return cast("CommandModule", importlib.import_module(f"harness.cli.{COMMANDS[name].module}"))


def _run(words: list[str]) -> int:
    arguments = parse(words)
    module = load(arguments.command)
    same_goes_on: bool = getattr(module, "same_goes_on", _never)(arguments)
    # A worker has nothing to say at its end: whatever it measured is in the run folder, and who started it ranks that.
    with nullcontext() if arguments.command == "worker" else sigterm_as_ctrl_c():
        try:
            return module.run(arguments) or 0
        except common.Stopped:
            raise
        except KeyboardInterrupt:
            if same_goes_on:
                raise common.stopped(arguments) from None
            raise


def _never(_arguments: argparse.Namespace) -> bool:
    return False


def parse(words: list[str]) -> argparse.Namespace:
    """The arguments of a command line, by the parser of its command, which is ``.command``.

    Raises SystemExit as argparse does.
    """
    original = list(words)
    parser = _Parser(
        prog=_program(),
        description="Layer ablations of diffusion transformers: everything but the runs, which are `pytest cases/`.",
        epilog=_grouped_commands(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help="one of those below; COMMAND --help says more"
    )
    parsers = {name: commands.add_parser(name) for name in COMMANDS}  # without a line: argparse has no groups of them
    pytest_arguments: list[str] = []
    chosen = words[0] if words else ""
    if chosen in COMMANDS:  # the others' parsers stay empty: they are never asked
        module, command = load(chosen), parsers[chosen]
        command.formatter_class = _Paragraphs
        command.description = (module.__doc__ or "").replace("``", "`")
        module.add_arguments(command)
        if command.get_default(common.PYTEST_ARGUMENTS) is not None and "--" in words:
            dashes = words.index("--")
            words, pytest_arguments = words[:dashes], words[dashes + 1 :]
    parsed = parser.parse_args(words)
    if pytest_arguments:
        setattr(parsed, common.PYTEST_ARGUMENTS, pytest_arguments)
    setattr(parsed, common.COMMAND_LINE, [*_program().split(), *original])
    return parsed


def _grouped_commands() -> str:
    """Every command with its line, under the heading of its group."""
    others = [name for name in COMMANDS if not any(name in names for names in GROUPS.values())]
    width = max(map(len, COMMANDS)) + 4
    lines: list[str] = []
    for heading, names in {**GROUPS, "others": tuple(others)}.items():
        if names:
            lines += ["", f"{heading}:", *(f"  {name}".ljust(width) + COMMANDS[name].help for name in names)]
    return "\n".join(lines[1:])


def _program() -> str:
    """What the user typed to get here, for the usage lines."""
    return "dit-harness" if Path(sys.argv[0]).stem == "dit-harness" else "python -m harness"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line that a terminal can show, also where it quotes an argument, and what was meant."""

    def error(self, message: str) -> NoReturn:
        super().error(shortened(message))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's own, for commands and the values of options, with the nearest one of the choices."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            guess = did_you_mean(str(value), known)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{guess} (choose from {', '.join(known)})")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's own; an option that nobody knows ends the run with the nearest one of the command's."""
        parsed, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            name = word.partition("=")[0]
            guess = did_you_mean(name, self._option_string_actions) if name.startswith("--") else ""
            if guess:
                self.error(f"unknown option {name}{guess}")
        return parsed, unknown


class _Paragraphs(argparse.HelpFormatter):
    """Fills a description paragraph by paragraph; one that is indented stays as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = textwrap.dedent(text).strip().split("\n\n")
        return "\n\n".join(
            textwrap.indent(p, indent) if p.startswith(" ") else super(_Paragraphs, self)._fill_text(p, width, indent)
            for p in paragraphs
        )
