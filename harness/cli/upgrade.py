"""Show what moves from one version of diffusers, transformers, torch ... to another: yes or no, and every figure.

From finished runs of the same cases under each version, the old one first:

    python -m harness upgrade 0.35.2=reports/old 0.42.1=reports/new --null reports/new-again

Or make these runs: ``--run`` builds an environment for each version and runs the cases in each, in float32 and in
bfloat16, under the last version twice (the null run, which shows what moves when nothing was changed):

    python -m harness upgrade --run 0.33.1 0.35.2 newest -- --dit-quick -k flux
    python -m harness upgrade --run --package transformers pinned newest

A version to run is a release of diffusers, ``pinned`` (constraints.txt's, or without one the installed), ``newest``
(the registry's), ``main`` (diffusers' main branch), a git reference that pip can install (``git+URL@BRANCH``), a folder
with a checkout of diffusers as it is now, or any package with its release (``transformers==4.56.2``; several with
commas). Don't edit such a folder until the runs are made: that is noticed, and they have to be made again.

The answer is no where a case got worse, and also where a case, a stack, a dtype or a checkpoint is missing under the
new version, or failed there.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cli import case_runs, common
from harness.cli.case_runs import Attempt, CaseRuns
from harness.cli.environments import Environments
from harness.cli.harness_source import harness_source
from harness.cli.version_pins import distinct_names, label_of
from harness.errors import HarnessError, JournalError
from harness.files import write_atomically
from harness.gates.tolerances import Tolerance
from harness.gates.upgrade import Run, UpgradeVerdict, upgrades, versions
from harness.models.spec import DTYPES, full_dtype
from harness.report.upgrade_page import every, markdown
from harness.results.journal import read_if_any

_DEFAULT_VERSIONS = ("0.33.1", "0.35.2", "newest")
_DEFAULT_VERSIONS_OF_OTHERS = ("pinned", "newest")  # of other packages than diffusers
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
    parser.add_argument(
        "--fail-on-regression", action="store_true", help="exit 1 where the answer is no, or nothing can be said"
    )
    making = parser.add_argument_group("with --run")
    common.add_package(making)
    making.add_argument(
        "--dtype", action="append", type=full_dtype, choices=DTYPES, help="only this one (repeat for more)"
    )
    common.add_cases(making, Path("reports/upgrade"))
    common.add_environments(making)
    common.add_pytest_arguments(parser)


@dataclass(frozen=True)
class _Runs:
    """The folders of the runs: (label, folder) in the order of the versions, and those of the null run.

    ``problems`` say by folder why a run is not complete, ``dtypes`` by folder what it was made in.
    """

    labelled: Sequence[tuple[str, Path]]
    null: Sequence[Path]
    problems: Mapping[Path, str] = field(default_factory=dict[Path, str])
    dtypes: Mapping[Path, str] = field(default_factory=dict[Path, str])

    def of(self, label: str, folders: Sequence[Path]) -> Run:
        """The records of one version. Raises JournalError where a folder isn't there, or its journal can't be read."""
        missing = [folder for folder in folders if folder not in self.problems and not folder.exists()]
        if missing:
            raise JournalError(f"there is no run {missing[0]}")
        records = [record for folder in folders for record in read_if_any(folder)]
        return Run(label, records, {self.dtypes[f]: self.problems[f] for f in folders if self.problems.get(f)})


def same_goes_on(arguments: argparse.Namespace) -> bool:
    """Complete runs are not made again."""
    return bool(arguments.run)


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
    default = _DEFAULT_VERSIONS if arguments.package == "diffusers" else _DEFAULT_VERSIONS_OF_OTHERS
    labels = [label_of(version, arguments.package) for version in arguments.versions or default]
    if arguments.null:
        raise HarnessError("--run makes the null run itself; leave out --null")
    if len(labels) < 2:
        raise HarnessError(f"one version alone ({labels[0]}) can't be compared; name the old one and the new one")
    names = distinct_names(labels)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise HarnessError(f"two of the versions are called {twice[0]}; name each one once")
    runs = CaseRuns(arguments.cases, arguments.reports, tuple(arguments.pytest_arguments), execute)
    environments = Environments(
        arguments.environments, harness_source(arguments.environments), tuple(arguments.requirements)
    )
    made = environments.get(labels)
    pythons = [environment.python for environment in made]
    dtypes = arguments.dtype or _DEFAULT_DTYPES
    problems: dict[Path, str] = {}
    made_in: dict[Path, str] = {}

    def make(name: str, python: Path, dtype: str) -> Path:
        attempt = runs.attempt(name, python, f"--dit-dtype={dtype}")
        problems[attempt.folder], made_in[attempt.folder] = attempt.problem, dtype
        return attempt.folder

    labelled: list[tuple[str, Path]] = []
    for name, python in zip(names, pythons, strict=True):
        for dtype in dtypes:
            labelled.append((name, make(f"{name}-{dtype}", python, dtype)))
            if name == names[0]:  # without the old version's run there is nothing to compare with
                Attempt(labelled[-1][1], problems[labelled[-1][1]]).complete()
    null = [make(f"{names[-1]}-{dtype}-null", pythons[-1], dtype) for dtype in dtypes]
    for environment in made:
        if environment.checkout is not None:
            environment.checkout.check_unchanged()
    return _Runs(labelled, null, problems, made_in)


def _report(
    runs: _Runs,
    tolerances: Sequence[Tolerance],
    page: Path | None,
    every_page: Path | None,
    arguments: argparse.Namespace,
) -> int:
    labelled: dict[str, list[Path]] = {}
    for label, folder in runs.labelled:
        labelled.setdefault(label, []).append(folder)  # a run for each dtype, say
    under_versions = [runs.of(label, folders) for label, folders in labelled.items()]
    answers = upgrades(under_versions, runs.of("null", runs.null) if runs.null else None, tolerances)
    text = markdown(answers, versions(under_versions))
    print(text)
    common.write_markdown(page, text)
    if every_page is not None:
        write_atomically(every_page, every(answers))
        print(f"wrote {every_page}")
    failing = {UpgradeVerdict.NO, UpgradeVerdict.NOISY}
    return 1 if arguments.fail_on_regression and any(a.answer in failing for a in answers) else 0
