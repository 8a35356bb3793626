"""Put the shards of a run (pytest --dit-shard I/N), or the records of workers, together into one run folder; rank them.

It needs no torch.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from harness.cli.report import show
from harness.errors import HarnessError, JournalError, refuse
from harness.report.findings_files import latest, read_findings, write_findings
from harness.report.tiles import IMAGES
from harness.results.journal import JOURNALS, write_journal
from harness.results.merge import merged, shards_in
from harness.results.records import Record
from harness.workers import record_files
from harness.workers.store import Store
from harness.workers.work import FILE, read_work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a run folder with shards, or one of workers; or its URL"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER-OR-URL", help="the run folder to make")


def run(arguments: argparse.Namespace) -> None:
    """Write the whole run's journal, pictures and ranking, and print the ranking."""
    out = Store(arguments.out)
    if any(Path(name).match(JOURNALS) for name in out.names()):
        raise HarnessError(f"{arguments.out} holds a run already; give --out another folder")
    with ExitStack() as copies:
        runs = [copies.enter_context(Store(run).as_folder()) for run in dict.fromkeys(arguments.runs)]
        runs = list(dict.fromkeys(run.resolve() for run in runs))
        records, folders = _whole(runs)
        sources = list(dict.fromkeys(folders))  # shards of one run can share its folder
        out.check_writable()
        folder = copies.enter_context(out.as_folder())
        records = [replace(record, run=out.name) for record in records]
        write_journal(folder, records)
        if findings := latest(each for path in sources for each in read_findings(path, refuse)):
            write_findings(folder, findings, refuse)
        for path in sources:
            if (path / IMAGES).is_dir():
                shutil.copytree(path / IMAGES, folder / IMAGES, dirs_exist_ok=True)
        show(folder, records, arguments.out)


def _whole(runs: Sequence[Path]) -> tuple[list[Record], list[Path]]:
    """The records of one run of workers, or of all shards of a run, and the folders with all else."""
    of_workers = [run for run in runs if (run / FILE).exists()]
    if not of_workers:
        shards = shards_in(runs)
        return merged(shards), [path.parent for path in shards.values()]
    if len(runs) > 1:
        raise JournalError(f"{of_workers[0]} is the run folder of workers, which is merged alone")
    (run,) = runs
    work = read_work((run / FILE).read_text(encoding="utf-8"), str(run / FILE))
    found = record_files.read_all(Store(run), refuse)
    if lacking := record_files.lacking(found, work):
        raise JournalError(
            f"{run}: {len(lacking)} of {len(work.cases)} cases have no record yet ({lacking[0]} ...); let a worker go "
            f"on: python -m harness worker {run / FILE} --run {run}"
        )
    records = record_files.ordered(found, work)
    record_files.check_one_measurement(records, str(run))
    return records, [run]
