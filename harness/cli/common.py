"""Options that several commands have."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import HarnessError, OptionError
from harness.files import why_not_made, write_atomically
from harness.gates.tolerances import DEFAULTS, FILE, Tolerance, load_tolerances
from harness.interrupts import without_options
from harness.models.checkpoints import changed_settings
from harness.models.checkpoints.changed_settings import SettingsChange
from harness.models.spec import BATCH, DTYPES, OFFLOADS, SEEDS, STEPS, full_dtype

PYTEST_ARGUMENTS = "pytest_arguments"
COMMAND_LINE = "command_line"  # the words that a command was called with, its program first
_SHORTEST = len("--o")  # what argparse takes for a longer option, where no other begins so
COLUMNS_OPTION = "`report --columns`"  # how one asks for more columns of a ranking that a command prints


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, of a command that can go on: ``go_on`` says how."""

    def __init__(self, go_on: str) -> None:
        super().__init__(go_on)
        self.go_on = go_on


def stopped(arguments: argparse.Namespace, *more: str, without: Sequence[str] = ()) -> Stopped:
    """What to raise where a command is stopped that goes on by the same command line with ``more`` at its end.

    ``without`` are options with a value that are left out of it, also where they are shortened (``--run`` for
    ``--run-id``).
    """
    names = [name[:length] for name in without for length in range(_SHORTEST, len(name) + 1)]
    words = without_options(getattr(arguments, COMMAND_LINE), names)
    dashes = words.index("--") if "--" in words else len(words)
    return Stopped(f"go on with: {shlex.join([*words[:dashes], *more, *words[dashes:]])}")


def add_tolerances(parser: argparse.ArgumentParser) -> None:
    """Add ``--tolerances``."""
    parser.add_argument(
        "--tolerances",
        type=Path,
        default=None,
        metavar="FILE",
        help="how far each figure may move (default: baselines/tolerances.toml; without one, the harness's own)",
    )


def read_tolerances(arguments: argparse.Namespace) -> list[Tolerance]:
    """The tolerances of :func:`tolerances_file`. Raises HarnessError as that, and where the file is wrong."""
    return load_tolerances(tolerances_file(arguments))


def tolerances_file(arguments: argparse.Namespace) -> Path:
    """The file that ``--tolerances`` names, or else the one in baselines/, or else the harness's own.

    Raises HarnessError where the named one isn't there.
    """
    named: Path | None = arguments.tolerances
    if named is None:
        own = Path("baselines") / FILE
        return own if own.exists() else DEFAULTS
    if not named.exists():
        raise HarnessError(f"there is no {named}, which says how far a figure may move; give --tolerances FILE")
    return named


def add_markdown(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--markdown``; ``what`` is written there."""
    parser.add_argument("--markdown", type=Path, metavar="FILE", help=f"write {what} there, too, as Markdown")


def write_markdown(path: Path | None, text: str) -> None:
    """Write what ``--markdown`` asks for, and say so. Raises HarnessError where it can't be written."""
    if path is not None:
        write_atomically(path, text)
        print(f"wrote {path}")


def check_writable(path: Path) -> None:
    """Raise HarnessError where a file can't be written: said before the work that it is to hold."""
    if path.is_dir():
        raise HarnessError(f"can't write {path}: it is a folder")
    if why := why_not_made(path.absolute().parent):
        raise HarnessError(f"can't write {path}: {why}")


def colour() -> bool:
    """Whether to write colours: to a terminal, unless NO_COLOR is set, and where FORCE_COLOR is."""
    from rich.console import Console  # --help and a wrong option do without it

    console = Console()
    return console.is_terminal and not console.no_color


def say(line: str) -> None:
    """Print a line at once, also where the output is a file that somebody reads meanwhile."""
    print(line, flush=True)


def warn(line: str) -> None:
    """Print a warning beside the output."""
    print(f"warning: {line}", file=sys.stderr)


def add_kept_blocks(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint`` and ``--plan`` of a command that makes a smaller model."""
    parser.add_argument("--checkpoint", required=True, metavar="NAME", help="a checkpoint's name or a folder")
    parser.add_argument(
        "--plan",
        required=True,
        action="append",
        dest="plans",
        metavar="PLAN",
        help="the blocks that stay, in their order: 'double: 0-1 3-4' (repeat for another stack)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", default=None, help="cpu, cuda ... (default: the GPU where there is one)")


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """Add ``--dtype``."""
    parser.add_argument(
        "--dtype", type=full_dtype, choices=DTYPES, default=None, help="default: the checkpoint's own; also bf16 ..."
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that replace a checkpoint's settings; :func:`read_settings` reads them."""
    steps = whole_number(*STEPS)
    seeds = whole_number(*SEEDS)
    batch = whole_number(*BATCH)
    parser.add_argument("--steps", type=steps, metavar="N", help="denoising steps (default: the checkpoint's)")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="PIXELS",
        help=f"size of the images: {changed_settings.SIZE_FORM} (default: the checkpoint's)",
    )
    parser.add_argument("--batch", type=batch, metavar="N", help="images in one forward (default: the checkpoint's)")
    parser.add_argument(
        "--control-seeds",
        type=seeds,
        metavar="N",
        help="seeds that the control is run on (default: the checkpoint's)",
    )


def _size(text: str) -> tuple[int, int]:
    try:
        return changed_settings.read_size(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_settings(arguments: argparse.Namespace) -> SettingsChange:
    """What the options of :func:`add_settings` say."""
    width, height = arguments.size or (None, None)
    return SettingsChange(
        steps=arguments.steps, width=width, height=height, seeds=arguments.control_seeds, batch=arguments.batch
    )


def add_offload(parser: argparse.ArgumentParser) -> None:
    """Add ``--offload``."""
    parser.add_argument(
        "--offload", choices=OFFLOADS, default="none", help="keep a large model in main memory (default: %(default)s)"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads", type=whole_number(1, 1024), default=None, metavar="N", help="torch's threads on the CPU"
    )


def add_taken(parser: argparse.ArgumentParser, prompts: int | str, steps: int | str) -> None:
    """Add ``--take-prompts`` and ``--take-steps``: how much of a checkpoint's sampling is measured.

    ``prompts`` and ``steps`` are what is taken by default, or how that is said where the command chooses it itself.
    """
    for name, what, default in (
        ("prompts", "prompts, at equal distances in their file", prompts),
        ("steps", "denoising steps, at equal distances", steps),
    ):
        parser.add_argument(
            f"--take-{name}",
            type=whole_number(1, 10_000),
            default=default if isinstance(default, int) else None,
            metavar="N",
            help=f"how many of the {what} (default: {default})",
        )


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number in those bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from {least} to {most}")
        return int(text)

    return read


def add_pytest_arguments(parser: argparse.ArgumentParser) -> None:
    """Let the command take arguments of pytest behind ``--``. Call it last: it completes the usage line."""
    parser.set_defaults(**{PYTEST_ARGUMENTS: []})
    usage = re.sub(r"\x1b\[[\d;]*m", "", parser.format_usage()).removeprefix("usage: ").rstrip()  # 3.14 colours it
    parser.usage = usage.replace("%", "%%") + " [-- PYTEST_ARGUMENT ...]"
    parser.epilog = "What stands behind -- goes to pytest: -- --dit-quick -k flux"


def add_package(parser: argparse._ActionsContainer) -> None:
    """Add ``--package``."""
    parser.add_argument(
        "--package",
        default="diffusers",
        metavar="NAME",
        help="versions are those of this package, such as transformers, torch or accelerate (default: %(default)s)",
    )


def add_cases(parser: argparse._ActionsContainer, reports: Path) -> None:
    """Add ``--cases`` and ``--reports`` to a command that makes runs."""
    parser.add_argument(
        "--cases", type=Path, default=Path("cases"), metavar="FOLDER", help="where the case files are (default: cases/)"
    )
    parser.add_argument(
        "--reports", type=Path, default=reports, metavar="FOLDER", help="where the runs go (default: %(default)s/)"
    )


def add_environments(parser: argparse._ActionsContainer) -> None:
    """Add ``--environments`` and ``--with`` to a command that makes virtual environments."""
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(".environments"),
        metavar="FOLDER",
        help="where the virtual environments are kept (default: %(default)s/)",
    )
    parser.add_argument(
        "--with",
        dest="requirements",
        action="append",
        default=[],
        metavar="REQUIREMENT",
        help="install this into each environment, too (repeat for more), such as a package that the cases import",
    )
