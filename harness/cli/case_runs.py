"""Runs of the cases in a pytest of their own: started, checked, and not made again where they are complete."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cli.environments import process_variables
from harness.errors import HarnessError

Execute = Callable[[Sequence[str]], int]

_COMPLETE = "complete"  # holds the digest of what the run was made with; written last
_OUTCOMES = {4: "pytest can't be called so", 5: "no case is selected"}
# pytest's own code, and those of a process that SIGINT, SIGKILL or SIGTERM ended, itself or a shell around it.
_INTERRUPTED = frozenset({2, -2, -9, -15, 130, 137, 143})
_BROKE = "something broke"


def execute(command: Sequence[str]) -> int:
    """Run a command of an interpreter, its output on this terminal; the exit code."""
    variables = process_variables(Path(command[0]))
    return subprocess.run(command, check=False, env=variables).returncode  # noqa: S603 - pytest, by a python of ours


@dataclass(frozen=True)
class Attempt:
    """A run's folder, and why the run is not complete: empty where it is, whether cases are red or not."""

    folder: Path
    problem: str = ""

    def complete(self) -> Path:
        """The folder of a complete run. Raises HarnessError for any other."""
        if self.problem:
            raise HarnessError(f"{self.folder} is not complete: {self.problem}; see its output")
        return self.folder


@dataclass(frozen=True)
class CaseRuns:
    """Makes runs of the case files in ``cases`` as folders in ``reports``.

    ``arguments`` go to every pytest; ``execute`` runs a command and gives its exit code.
    """

    cases: Path
    reports: Path
    arguments: tuple[str, ...]
    execute: Execute = execute

    def __post_init__(self) -> None:
        if not self.cases.exists():
            raise HarnessError(f"there is no {self.cases}, where the case files should be; give --cases FOLDER")

    def make(self, name: str, python: Path, *options: str) -> Path:
        """Run the cases by an interpreter; the run's folder, which is made anew.

        Red cases are a result, and so is a case file that can't be imported: its cases are missing. Raises HarnessError
        where pytest ends in any other way.
        """
        return self.attempt(name, python, *options).complete()

    def attempt(self, name: str, python: Path, *options: str) -> Attempt:
        """As :meth:`make`, but a pytest that ends with an error is a result, too.

        Raises HarnessError where it was interrupted or killed: that says nothing about the cases.
        """
        folder = self.reports / name
        shutil.rmtree(folder, ignore_errors=True)
        command = [str(python), "-m", "pytest", str(self.cases), "-q", "--benchmark-skip"]
        command.append("--continue-on-collection-errors")  # without it, pytest calls them an interruption
        places = [f"--dit-run-id={name}", f"--dit-reports={self.reports}"]
        code = self.execute([*command, *places, *options, *self.arguments])
        if code in _INTERRUPTED:
            raise HarnessError(
                f"{folder} is not complete: it was interrupted or killed (exit code {code}), which says nothing about "
                "the cases; start again"
            )
        if code in (0, 1):
            return Attempt(folder, "" if folder.exists() else f"pytest ended with exit code {code} and no case ran")
        return Attempt(folder, f"pytest ended with exit code {code} ({_OUTCOMES.get(code, _BROKE)})")

    def make_once(self, name: str, python: Path, *options: str, made_with: str) -> Path:
        """As :meth:`make`, but a complete run stays, if it was made with the same things.

        These are the files of the harness, the case files, the options, and ``made_with``: a text that stands for
        the interpreter's packages and whatever else matters.
        """
        return self.attempt_once(name, python, *options, made_with=made_with).complete()

    def attempt_once(self, name: str, python: Path, *options: str, made_with: str) -> Attempt:
        """As :meth:`make_once`, but a pytest that ends with an error is a result, too; it is not kept.

        Raises HarnessError as :meth:`attempt`.
        """
        parts = [contents(Path(__file__).parents[1]), contents(self.cases), made_with, *options, *self.arguments]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        marker = self.reports / name / _COMPLETE
        if marker.exists() and marker.read_text(encoding="utf-8") == digest:
            return Attempt(marker.parent)
        attempt = self.attempt(name, python, *options)
        if not attempt.problem:
            marker.write_text(digest, encoding="utf-8")
        return attempt


def contents(place: Path) -> str:
    """A digest of the files in a folder, bytecode aside, or of one file."""
    files: Iterable[Path] = [place] if place.is_file() else sorted(place.rglob("*"))
    together = hashlib.sha256()
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            together.update(f"{file.relative_to(place)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return together.hexdigest()
