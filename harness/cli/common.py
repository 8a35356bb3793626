"""The tolerances that two commands hold runs against."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.gates.tolerances import Tolerance


def add(parser: argparse.ArgumentParser) -> None:
    """Add ``--tolerances`` to a command."""
    parser.add_argument(
        "--tolerances", type=Path, default=Path("baselines/tolerances.toml"), help="default: %(default)s"
    )


def read(given: argparse.Namespace) -> list[Tolerance]:
    """The tolerances of the file that was given. Raises HarnessError where there is none."""
    from harness.gates.tolerances import load_tolerances

    if not given.tolerances.exists():
        raise HarnessError(
            f"there is no {given.tolerances}, which says how far a figure may move; give --tolerances FILE"
        )
    return load_tolerances(given.tolerances)
