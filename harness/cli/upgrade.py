"""Show what moves from one version of diffusers to another: a yes or no for each model, and every figure that moved.

From finished runs of the same cases under each version, the old one first:

    python -m harness upgrade 0.35.2=reports/old 0.42.1=reports/new --null reports/new-again

Or make these runs: ``--run`` builds an environment for each version and runs the cases in each, in float32 and in
bfloat16, under the last version twice (the null run, which shows what moves when nothing was changed):

    python -m harness upgrade --run 0.33.1 0.35.2 newest -- --dit-quick -k flux

A version to run is a release of diffusers, ``pinned`` (constraints.txt's, or without one the installed), ``newest``
(the registry's), or a folder with a git checkout of diffusers.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cli import case_runs, common
from harness.cli.case_runs import CaseRuns
from harness.cli.environments import Environments
from harness.cli.harness_source import harness_source
from harness.errors import HarnessError
from harness.files import write_atomically
from harness.gates.tolerances import Tolerance
from harness.gates.upgrade import Run, UpgradeVerdict, upgrades, versions
from harness.models.spec import DTYPES
from harness.report.upgrade_page import every, markdown
from harness.results.journal import read
from harness.results.records import Record

_DEFAULT_VERSIONS = ("0.33.1", "0.35.2", "newest")
_DEFAULT_DTYPES = ("float32", "bfloat16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "versions",
        nargs="*",
        metavar="VERSION",
        help=f"LABEL=RUN, or with --run a version (default: {' '.join(_DEFAULT_VERSIONS)}); the new one last",
    )
    parser.add_argument("--run", action="store_true", help="make the environments and the runs first")
    parser.add_argument("--null", action="append", type=Path, metavar="RUN", help="the new version once more")
    common.add_tolerances(parser)
    common.add_markdown(parser, "the report")
    parser.add_argument(
        "--every", type=Path, metavar="FILE", help="write every figure of every case there, as Markdown"
    )
    parser.add_argument("--fail-on-regression", action="store_true", help="exit 1 where the answer is no")
    making = parser.add_argument_group("with --run")
    making.add_argument("--dtype", action="append", choices=DTYPES, help="only this one (repeat for more)")
    common.add_cases(making, Path("reports/upgrade"))
    common.add_environments(making)
    common.add_pytest_arguments(parser)


@dataclass(frozen=True)
class _Runs:
    """The folders of the runs: (label, folder) in the order of the versions, and those of the null run."""

    labelled: Sequence[tuple[str, Path]]
    null: Sequence[Path]


def run(arguments: argparse.Namespace, execute: case_runs.Execute = case_runs.execute) -> int:
    """Make the runs if asked to, and print the report; 1 where ``--fail-on-regression`` applies.

    Raises HarnessError where a run, an environment or the tolerances can't be had.
    """
    tolerances = common.read_tolerances(arguments)  # first of all: making the runs may take hours
    if not arguments.run:
        return _report(_finished(arguments), tolerances, arguments.markdown, arguments.every, arguments)
    runs = _make(arguments, execute)
    page = arguments.markdown or arguments.reports / "upgrade.md"
    return _report(runs, tolerances, page, arguments.every or arguments.reports / "every.md", arguments)


def _finished(arguments: argparse.Namespace) -> _Runs:
    if arguments.pytest_arguments:
        raise HarnessError("arguments of pytest mean nothing for finished runs; --run makes new ones")
    labelled: list[tuple[str, Path]] = []
    for text in arguments.versions:
        label, equals, place = text.partition("=")
        if not equals or not label or not place:
            raise HarnessError(
                f"{text!r} is no LABEL=RUN, like 0.42.1=reports/upgrade-0.42.1; to make the runs: upgrade --run {text}"
            )
        labelled.append((label, Path(place)))
    return _Runs(labelled, arguments.null or ())


def _make(arguments: argparse.Namespace, execute: case_runs.Execute) -> _Runs:
    labels = arguments.versions or list(_DEFAULT_VERSIONS)
    if arguments.null:
        raise HarnessError("--run makes the null run itself; leave out --null")
    if len(labels) < 2:
        raise HarnessError(f"one version alone ({labels[0]}) can't be compared; name the old one and the new one")
    names = [Path(label).resolve().name for label in labels]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise HarnessError(f"two of the versions are called {twice[0]}; name each one once, and folders differently")
    runs = CaseRuns(arguments.cases, arguments.reports, tuple(arguments.pytest_arguments), execute)
    environments = Environments(
        arguments.environments, harness_source(arguments.environments), tuple(arguments.requirements)
    )
    pythons = [environment.python for environment in environments.get(labels)]
    dtypes = arguments.dtype or _DEFAULT_DTYPES
    labelled = [
        (name, runs.make(f"{name}-{dtype}", python, f"--dit-dtype={dtype}"))
        for name, python in zip(names, pythons, strict=True)
        for dtype in dtypes
    ]
    null = [runs.make(f"{names[-1]}-{dtype}-null", pythons[-1], f"--dit-dtype={dtype}") for dtype in dtypes]
    return _Runs(labelled, null)


def _report(
    runs: _Runs,
    tolerances: Sequence[Tolerance],
    page: Path | None,
    every_page: Path | None,
    arguments: argparse.Namespace,
) -> int:
    labelled: dict[str, list[Record]] = {}
    for label, folder in runs.labelled:
        labelled.setdefault(label, []).extend(read(folder))  # a run for each dtype, say
    under_versions = [Run(label, records) for label, records in labelled.items()]
    again = [record for folder in runs.null for record in read(folder)]
    answers = upgrades(under_versions, Run("null", again) if again else None, tolerances)
    text = markdown(answers, versions(under_versions))
    print(text)
    common.write_markdown(page, text)
    if every_page is not None:
        write_atomically(every_page, every(answers))
        print(f"wrote {every_page}")
    return 1 if arguments.fail_on_regression and any(a.answer is UpgradeVerdict.NO for a in answers) else 0
