"""Make what a repository of one's own needs: a case file, tolerances for its baselines, and a workflow.

    python -m harness init
    python -m harness init --checkpoint FLUX.1-schnell

Nothing that is there already is changed. No model is loaded, and a real checkpoint need not be downloaded yet.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from harness.cli import project_files
from harness.errors import HarnessError
from harness.gates.tolerances import DEFAULTS, FILE
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.resolve import Checkpoint, blueprint, bundled_names

_DEFAULT = "flux-tiny"
_IGNORE = "/reports/"
_MADE = ("cases", "baselines", "pytest.ini", ".github", ".gitignore")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="default: this one")
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="NAME",
        help=f"a name, a hub id or a folder (repeat for more; default: {_DEFAULT}, which is bundled)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Make the files, and say what to run next. Raises HarnessError for a checkpoint that isn't known."""
    folder: Path = arguments.folder
    names: list[str] = list(dict.fromkeys(arguments.checkpoint or [_DEFAULT]))
    checkpoints = {name: blueprint(name).checkpoint for name in names}  # all of them before the first file
    gpu = not all(checkpoint.bundled or name in bundled_names() for name, checkpoint in checkpoints.items())
    for name, checkpoint in checkpoints.items():
        text = project_files.case_file(checkpoint.name, _in_mark(name, folder), tuple(checkpoint.stacks))
        _create(folder / "cases" / project_files.case_file_name(checkpoint.name), text)
    _create(folder / "baselines" / FILE, DEFAULTS.read_text(encoding="utf-8"))
    settings = project_files.pytest_settings(folder)
    if settings:
        _create(folder / "pytest.ini", settings)
    _create(folder / ".github" / "workflows" / "ablations.yml", project_files.workflow(gpu=gpu))
    _create(folder / ".gitignore", f"{_IGNORE}\n")
    for line in _next(folder, list(checkpoints.values())):
        print(line)


def _in_mark(name: str, folder: Path) -> str:
    """How a mark names a checkpoint: a folder from where pytest is started, which is the root of the repository."""
    if name in bundled_names() or not Path(name).is_dir():
        return name
    relative = Path(os.path.relpath(name, folder)).as_posix()
    return relative if relative.startswith("..") else f"./{relative}"


def _create(path: Path, text: str) -> None:
    """Write a file that isn't there, and say so, or that one is. Raises HarnessError where it can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if not path.is_file():
            raise HarnessError(f"can't write {path}: something else is in its place, or in its folder's") from None
        print(f"kept {path}, which is there already")
        return
    except OSError as error:
        raise HarnessError(f"can't write {path}: {error.strerror or error}") from None
    print(f"made {path}")


def _next(folder: Path, checkpoints: list[Checkpoint]) -> list[str]:
    """What to run, and what to look at, from here on."""
    lines = ["next:"]
    if folder.resolve() != Path.cwd():
        lines.append(f"  cd {folder}")
    lines += [
        f"  {hub_cache.download(checkpoint.hub_id)}"
        for checkpoint in checkpoints
        if checkpoint.hub_id and hub_cache.snapshot(checkpoint.hub_id) is None
    ]
    lines += [
        "  pytest cases/ --dit-quick                     a few variants; nothing is stored yet, so nothing is asserted",
        "  pytest cases/ --dit-baseline-update=missing   measure all, and store what later runs are compared with",
        f"  git add {' '.join(name for name in _MADE if (folder / name).exists())}",
    ]
    if _IGNORE.strip("/") not in (folder / ".gitignore").read_text(encoding="utf-8", errors="replace"):
        lines.append(f"add {_IGNORE} to .gitignore: runs are written there")
    if " @ " not in project_files.requirement():
        lines.append(
            f"the workflow installs {project_files.requirement()}: write there what your CI's pip can install, such as "
            "the address of a repository or a wheel"
        )
    return lines
