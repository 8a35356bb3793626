"""Show how far values moved in a run of ``pytest --dit-calibrate K``, and what tolerances.toml would have to allow.

The perturbed runs are the folders beside the run that are called after it. With ``--suggest``, lines for
tolerances.toml are printed where its tolerances are narrower than the noise, as for a GPU or a dtype of their own. A
person pastes them: nothing is widened by itself.

    python -m harness calibrate reports/20270101-120000-abcd --suggest
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import common
from harness.errors import HarnessError, printable
from harness.gates.tolerances import load_tolerances
from harness.gates.validation.suggest import suggest
from harness.results.journal import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder under reports/")
    parser.add_argument("--suggest", action="store_true", help="print lines for tolerances.toml")
    common.add_tolerances(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print what has to be allowed. Raises HarnessError where the run has no perturbed runs beside it."""
    folder: Path = arguments.run
    beside = sorted(path for path in folder.parent.glob(f"{folder.name}.*") if path.is_dir())
    if not beside:
        raise HarnessError(
            f"there is no perturbed run beside {folder} (folders {folder.name}.KIND-VALUE); make them with "
            "pytest cases/ --dit-calibrate 6"
        )
    path = common.tolerances_file(arguments)
    suggestions = suggest(read(folder), [read(each) for each in beside], load_tolerances(path))
    print(f"{len(beside)} perturbed runs: {', '.join(each.name.removeprefix(folder.name + '.') for each in beside)}")
    for each in suggestions:
        what = printable(f"{each.checkpoint}: {each.metric}")
        print(f"{what} is noisier than {path.name} allows, {each.needed:.3g} times")
    if not suggestions:
        print(f"{path.name} allows all of this noise")
    elif arguments.suggest:
        print("\n# to paste at the end of tolerances.toml, if gates may be that wide:\n")
        print("\n".join(each.toml for each in suggestions))
