"""Options that several commands have."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from harness.errors import HarnessError
from harness.files import write_atomically
from harness.gates.tolerances import DEFAULTS, FILE, Tolerance, load_tolerances
from harness.models.spec import DTYPES, OFFLOADS

PYTEST_ARGUMENTS = "pytest_arguments"


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


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", default=None, help="cpu, cuda ... (default: the GPU where there is one)")


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """Add ``--dtype``."""
    parser.add_argument("--dtype", choices=DTYPES, default=None, help="default: the checkpoint's own")


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
