"""Find the first release that changed the results, by halving the registry's list of releases.

Makes an environment and a run of the cases for each release that it looks at, and compares it with the old one:

    python -m harness bisect 0.33.1 0.42.1 --dtype bfloat16 --look-for bits -- --dit-quick -k flux
    python -m harness bisect --package transformers 4.56.2 5.23.0

Releases are those of diffusers, or of another package, beside which everything else stays as in constraints.txt. A
release under which a case is missing or fails, or pytest itself ends with an error, has changed the results. A run that
was interrupted is no answer: start again, and the complete ones are taken, if they were made with the same arguments.
An answer is right where nothing that changed changes back later: then about log2(releases) runs are enough.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.cli import case_runs, common
from harness.cli.case_runs import Attempt, CaseRuns
from harness.cli.environments import Environments, check_release, releases
from harness.cli.harness_source import harness_source
from harness.cli.version_pins import label_of, short_name
from harness.errors import HarnessError
from harness.gates.comparison import Strictness, compare
from harness.models.spec import DTYPES, full_dtype
from harness.results.journal import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("old", metavar="OLD", help="a release, with which the others are compared")
    parser.add_argument("new", metavar="NEW", help="a later release")
    common.add_package(parser)
    parser.add_argument("--dtype", type=full_dtype, choices=DTYPES, default="float32", help="default: %(default)s")
    parser.add_argument(
        "--look-for",
        choices=[strictness.value for strictness in Strictness],
        default=Strictness.CHANGE.value,
        help="what counts, as in `compare --fail-on`: a regression, a change beyond a tolerance, or any bit that "
        "differs (default: %(default)s)",
    )
    common.add_tolerances(parser)
    common.add_cases(parser, Path("reports/bisect"))
    common.add_environments(parser)
    common.add_pytest_arguments(parser)


def same_goes_on(_arguments: argparse.Namespace) -> bool:
    """Complete runs are not made again."""
    return True


def run(arguments: argparse.Namespace, execute: case_runs.Execute = case_runs.execute) -> None:
    """Make the runs, and print the release.

    Raises HarnessError where a release, an environment, a run or the tolerances can't be had.
    """
    tolerances = common.read_tolerances(arguments)
    runs = CaseRuns(arguments.cases, arguments.reports, tuple(arguments.pytest_arguments), execute)
    package = arguments.package
    candidates = between(releases(package), arguments.old, arguments.new, package)
    environments = Environments(
        arguments.environments, harness_source(arguments.environments), tuple(arguments.requirements)
    )
    strictness = Strictness(arguments.look_for)
    print(f"{len(candidates)} releases, at most {most_asked(len(candidates)) + 1} runs: {', '.join(candidates)}")

    def results(release: str) -> Attempt:
        label = label_of(release, package)
        (environment,) = environments.get([label])
        return runs.attempt_once(
            f"{short_name(label)}-{arguments.dtype}",
            environment.python,
            f"--dit-dtype={arguments.dtype}",
            made_with=environment.digest,
        )

    def changed(release: str) -> bool:
        old, attempt = results(arguments.old).complete(), results(release)
        new = attempt.folder
        if attempt.problem:
            print(f"{release}: changed ({attempt.problem}; see its output)", flush=True)
            return True
        differs = any(c.differs(strictness) for c in compare(read(old), read(new), tolerances))
        print(f"{release}: {'changed' if differs else 'as before'} (python -m harness compare {old} {new})", flush=True)
        return differs

    first = first_changed(candidates, changed)
    about = f"{arguments.dtype}, {strictness.value}"
    if first is None:
        print(f"{about}: nothing changed from {arguments.old} to {arguments.new}")
    else:
        print(f"{about}: {first} is the first release that changed something, after {before(candidates, first)}")


def between(known: Sequence[str], old: str, new: str, package: str = "diffusers") -> list[str]:
    """The releases from one to another, both included, of a list that begins with the oldest.

    Raises HarnessError where the list lacks either, or ``new`` isn't the later one.
    """
    for release in (old, new):
        check_release(release, known, package)
    first, last = known.index(old), known.index(new)
    if first >= last:
        raise HarnessError(f"{package} {new} is not later than {old}; give the old release first")
    return list(known[first : last + 1])


def first_changed(releases: Sequence[str], changed: Callable[[str], bool]) -> str | None:
    """The first release for which ``changed`` holds; None where it doesn't hold for the last one.

    ``changed`` doesn't hold for ``releases[0]``, which is never asked about; from the first one for which it holds it
    is taken to hold for all. If it is not so, what comes back still changed, and the release before it did not. Asks
    about at most :func:`most_asked` releases, none of them twice.
    """
    if not changed(releases[-1]):
        return None
    unchanged, first = 0, len(releases) - 1
    while first - unchanged > 1:
        middle = (unchanged + first) // 2
        if changed(releases[middle]):
            first = middle
        else:
            unchanged = middle
    return releases[first]


def most_asked(number: int) -> int:
    """How many of so many releases (at least 2) :func:`first_changed` asks about at most."""
    return 1 + math.ceil(math.log2(number - 1))


def before(releases: Sequence[str], release: str) -> str:
    """The release before another one."""
    return releases[releases.index(release) - 1]
