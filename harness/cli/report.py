"""Write the reports of runs again, in every format, from their journals alone; several runs also side by side.

A run of published claims has its table of findings and its page made again, from its `findings.jsonl`.
Needs no torch. Where pyarrow is installed, the tables of docs/data.md are written as Parquet files, too.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.cli import common
from harness.errors import HarnessError, OptionError
from harness.files import write_each
from harness.report import findings_page
from harness.report.findings_files import MARKDOWN, read_findings
from harness.report.ranking_files import write_ranking
from harness.report.ranking_terminal import render
from harness.results.chosen_columns import HELP as COLUMNS_HELP
from harness.results.chosen_columns import read_columns
from harness.results.journal import read
from harness.results.records import Record
from harness.workers.store import Store, is_url

TABLES = "tables"  # the folder of the Parquet files, in a run's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="a folder under reports/, a journal file, or the URL of a run folder; several are shown side by side",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where several runs side by side are written (default: the folder of the first)",
    )
    parser.add_argument("--columns", action="append", default=[], metavar="NAME", help=COLUMNS_HELP)


def run(arguments: argparse.Namespace) -> None:
    """Print the rankings, and write them beside the journals; of several runs, the comparison too.

    Raises HarnessError for a wrong option and what can't be read, before anything is written.
    """
    places: list[str] = arguments.runs
    several = len(places) > 1
    columns = _columns(arguments.columns, several=several)
    stores = [Store(place) for place in places]
    for store in stores if several else ():  # before anything is written: the last name may be mistyped
        if store.folder is not None:
            read(store.folder, left_out=_nothing)
    records = [_report(store, place, columns, quiet=several) for store, place in zip(stores, places, strict=True)]
    if several:
        _side_by_side(stores, records, arguments.out)


def _columns(texts: Sequence[str], *, several: bool) -> tuple[str, ...]:
    """What ``--columns`` asks for. Raises OptionError for an unknown column, and where no table would show it."""
    try:
        columns = read_columns(texts)
    except OptionError as error:
        raise OptionError(f"--columns: {error}") from None
    if columns and several:
        raise OptionError("--columns goes with one run: several are shown side by side, whose columns are each run's")
    return columns


def _nothing(_: str) -> None:
    """What is left out of a journal is said when it is reported."""


def _report(store: Store, place: str, columns: Collection[str], *, quiet: bool) -> list[Record]:
    if store.folder is not None and not store.folder.is_dir():
        return _report_folder(store.folder, store.folder.parent, place, columns, quiet=quiet)
    with store.as_folder() as folder:
        return _report_folder(folder, folder, place, columns, quiet=quiet)


def _report_folder(run: Path, folder: Path, place: str, columns: Collection[str], *, quiet: bool) -> list[Record]:
    records = read(run, left_out=common.warn)
    if not show(folder, records, place if is_url(place) else "", columns, quiet=quiet):
        print(f"nothing to rank: {place or run} has {len(records)} records, and none of a variant's images or time")
    return records


def _side_by_side(stores: Sequence[Store], records: Sequence[Sequence[Record]], out: Path | None) -> None:
    from harness.report import side_by_side  # here: one run needs no page of several

    names = [_name(store) for store in stores]
    names = [name if names.count(name) == 1 else store.place for name, store in zip(names, stores, strict=True)]
    runs = [side_by_side.NamedRun(name, tuple(mine)) for name, mine in zip(names, records, strict=True)]
    print(
        side_by_side.render(side_by_side.side_by_side(runs), shutil.get_terminal_size().columns, common.colour()),
        end="",
    )
    first = stores[0].folder
    run_folder = first.parent if first is not None and first.is_file() else first
    folder = out or (Path() if run_folder is None else run_folder.absolute().parent)
    for path in side_by_side.write(folder, runs, common.warn):
        print(f"wrote {path}")


def _name(store: Store) -> str:
    """The name of the run's folder."""
    if store.folder is not None and store.folder.is_file():
        return store.folder.absolute().parent.name
    return store.name


def show(
    folder: Path, records: Sequence[Record], place: str = "", columns: Collection[str] = (), *, quiet: bool = False
) -> list[Path]:
    """Write the reports of a run into its folder, and print the ranking and the paths of what was written.

    ``place`` is the run folder's URL where ``folder`` is a copy of it; ``columns`` are those that were asked for,
    beside the ones that the terminal's table always has; ``quiet`` prints the paths alone.
    """
    findings = read_findings(folder, _nothing)  # the page says it
    pages = {folder / MARKDOWN: findings_page.markdown(findings)} if findings else {}
    written = [*write_ranking(folder, records, common.warn), *write_each(pages, common.warn)]
    if records and written and find_spec("pyarrow"):
        written = [*written, *_tables(folder, records)]
    if not quiet:
        width, colour = shutil.get_terminal_size().columns, common.colour()
        print(render(records, width, colour, columns, common.COLUMNS_OPTION), end="")
        print(findings_page.render(findings, width, colour), end="")
    for path in written:
        print(f"wrote {f'{place}/{path.relative_to(folder)}' if is_url(place) else path}")
    return written


def _tables(folder: Path, records: Sequence[Record]) -> list[Path]:
    from harness.results.run_tables import run_tables

    try:
        return run_tables(folder.absolute().name, records).to_parquet(folder / TABLES)
    except HarnessError as error:
        common.warn(str(error))
        return []
