"""``python -m harness upgrade OLD=RUN NEW=RUN``: yes or no, from the journals of the same cases under each version."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import common
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.results.records import Record


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "upgrade",
        help="what moved between versions, from the journals of the same cases under each",
        description="What moved between versions. `nox -s upgrade` makes the runs and calls this.",
    )
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN", help="in the order of the versions, the new one last")
    parser.add_argument("--null", action="append", type=Path, metavar="RUN", help="the new version once more")
    common.add(parser)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there, too")
    parser.add_argument("--every", type=Path, metavar="FILE", help="write all figures of all cases there, as Markdown")
    parser.add_argument("--fail-on-regression", action="store_true", help="exit 1 where the answer is no")
    parser.set_defaults(call=_upgrade)


def _upgrade(given: argparse.Namespace) -> int:
    from harness.files import write_atomically
    from harness.gates.upgrade import Run, UpgradeVerdict, upgrades, versions
    from harness.report.upgrade_page import every, markdown
    from harness.results.journal import read

    labelled: dict[str, list[Record]] = {}
    for text in given.runs:
        label, equals, place = text.partition("=")
        if not equals or not label or not place:
            raise HarnessError(f"{text!r} is no LABEL=RUN, like 0.42.1=reports/upgrade-0.42.1")
        labelled.setdefault(label, []).extend(read(Path(place)))  # a run for each dtype, say
    runs = [Run(label, records) for label, records in labelled.items()]
    again = [record for place in given.null or () for record in read(place)]
    null = Run("null", again) if again else None
    found = upgrades(runs, null, common.read(given))
    text = markdown(found, versions(runs))
    print(text)
    if given.markdown is not None:
        write_atomically(given.markdown, text)
        print(f"wrote {given.markdown}")
    if given.every is not None:
        write_atomically(given.every, every(found))
        print(f"wrote {given.every}")
    return 1 if given.fail_on_regression and any(u.answer is UpgradeVerdict.NO for u in found) else 0
