"""The steps of a nightly workflow, as docs/gpu.md describes it. Each takes no more than a second, and no torch.

    python -m harness night stored FLUX.1-dev --dtype bfloat16
    python -m harness night tell reports/RUN --name "FLUX.1-dev bfloat16" --summary "$GITHUB_STEP_SUMMARY" --issue issue
    python -m harness night baselines part-1 part-2 --into baselines

`stored` prints yes or no: whether there are stored values of a checkpoint, in its dtype. `tell` writes the summary of a
run, prints annotations, and writes a section of an issue where the run is red. `baselines` puts the files together that
shards stored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli import common
from harness.errors import HarnessError, JournalError
from harness.files import write_atomically
from harness.gates import baselines
from harness.gates.merge import merge_folders
from harness.models.checkpoints.resolve import blueprint
from harness.report.night import Night, error_annotations, issue_section, summary
from harness.results.journal import read_if_any

EXIT_CODES = "exit-code-*"  # files in a run folder: what the pytest of each shard ended with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the steps and their options."""
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP", help="stored, tell or baselines")
    stored = steps.add_parser("stored", help="print yes or no: are there stored values of a checkpoint?")
    stored.add_argument("checkpoint", metavar="CHECKPOINT", help="a name, a hub id or a folder; '': the bundled ones")
    common.add_dtype(stored)
    stored.add_argument(
        "--baselines", type=Path, default=Path("baselines"), metavar="FOLDER", help="default: baselines"
    )
    tell = steps.add_parser("tell", help="write the summary of a run, print annotations, write a section of an issue")
    tell.add_argument("run_folder", type=Path, metavar="RUN", help="the run folder, whole")
    tell.add_argument("--name", required=True, help="what was measured, for headlines: 'FLUX.1-dev bfloat16'")
    tell.add_argument(
        "--parts",
        type=Path,
        metavar="FOLDER",
        help="the shards, each in a folder: their exit codes, and their pages where there is no whole run",
    )
    tell.add_argument("--summary", type=Path, metavar="FILE", help="append the pages of the run there, under 1 MB")
    tell.add_argument("--issue", type=Path, metavar="FILE", help="write a section of an issue there, if the run is red")
    merge = steps.add_parser("baselines", help="put together the baselines that shards stored")
    merge.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="baselines/ as a shard left it")
    merge.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="baselines/ as it was before")


def run(arguments: argparse.Namespace) -> None:
    """Do the step. Raises HarnessError for what can't be read or written."""
    if arguments.step == "stored":
        print("yes" if _stored(arguments) else "no")
    elif arguments.step == "tell":
        _tell(arguments)
    else:
        _merge(arguments)


def _stored(arguments: argparse.Namespace) -> bool:
    if not arguments.checkpoint:
        return True  # the bundled models come with theirs
    checkpoint = blueprint(arguments.checkpoint, dtype=arguments.dtype).checkpoint
    anywhere = baselines.file_of(arguments.baselines, checkpoint.name, "any", checkpoint.settings.dtype)
    return baselines.choose_file(anywhere)[0] is not None


def _tell(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.run_folder
    parts = sorted(arguments.parts.iterdir()) if arguments.parts is not None and arguments.parts.is_dir() else []
    codes = {
        path.name.removeprefix("exit-code-"): _number(path)
        for place in (folder, *parts)
        for path in sorted(place.glob(EXIT_CODES))
    }
    problems: list[str] = []
    records = read_if_any(folder) if folder.is_dir() else []
    if not records:
        problems.append("there is no whole run")
        for part in parts:
            try:
                records += read_if_any(part)
            except JournalError as error:
                problems.append(str(error))
    night = Night(arguments.name, records, codes, "; ".join(problems))
    if arguments.summary is not None:
        _append(arguments.summary, summary(night, [folder, *parts]))
    for line in error_annotations(night):
        print(line)
    print(night.headline)
    if arguments.issue is not None and night.failed:
        write_atomically(arguments.issue, issue_section(night))


def _number(path: Path) -> int:
    """An exit code; one that can't be read is a failure."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except ValueError:
        return 1


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise HarnessError(f"can't write {path}: {error.strerror or error}") from None


def _merge(arguments: argparse.Namespace) -> None:
    lacking = [folder for folder in arguments.folders if not folder.is_dir()]
    if lacking:
        raise HarnessError(f"there is no folder {lacking[0]}; name folders of baselines")
    written = merge_folders(arguments.into, arguments.folders)
    sys.stdout.writelines(f"wrote {path}\n" for path in written or ())
    if not written:
        print("nothing changed")
