"""The same names locally and in CI: ``nox -s lint types tests cases wheel``."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "cases"]
CONSTRAINTS = "constraints.txt"


def install(session: nox.Session, what: str = "-e.[dev]") -> None:
    """Install the package under the constraints."""
    session.install("-c", CONSTRAINTS, what)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, as a linter and as a formatter."""
    session.install("-c", CONSTRAINTS, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    install(session)
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests of the harness itself."""
    install(session)
    session.run("pytest", *session.posargs)


@nox.session
def cases(session: nox.Session) -> None:
    """The ablation cases."""
    install(session)
    session.run("pytest", "cases/", *session.posargs)


# The oldest pair that is supported, with what else must be older beside it. The newest is whatever the registry has.
OLDEST = {"diffusers": "==0.33.1", "transformers": "==4.51.3", "huggingface_hub": "<1", "tokenizers": "<0.22"}


@nox.session
@nox.parametrize("which", ["oldest", "newest"])
def versions(session: nox.Session, which: str) -> None:
    """The tests and the quick cases on the oldest supported diffusers and transformers, and on the newest."""
    pins = OLDEST if which == "oldest" else dict.fromkeys(OLDEST, "")
    kept = [line for line in Path(CONSTRAINTS).read_text().splitlines() if _package(line) not in pins]
    # Not session.create_tmp(): that sets TMPDIR to a folder in this repository, whose pyproject.toml the pytest runs
    # inside the tests would then find.
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join([*kept, *(name + pin for name, pin in pins.items() if pin)]) + "\n")
        session.install("-c", str(constraints), "-e.[dev]", *(f"{name}{pin}" for name, pin in pins.items()))
    session.run("python", "-m", "pip", "list")
    session.run("pytest", *session.posargs)
    session.run("pytest", "cases/", "--dit-quick", *session.posargs)


def _package(line: str) -> str:
    return re.split(r"[=<>~! #]", line.strip(), maxsplit=1)[0].replace("-", "_").lower()


@nox.session
def wheel(session: nox.Session) -> None:
    """The built wheel, alone in another folder, with a case file of its own."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--wheel", "--outdir", folder)
        (made,) = Path(folder).glob("*.whl")
        install(session, str(made))
        case = Path(folder) / "elsewhere" / "test_mine.py"
        case.parent.mkdir()
        case.write_text(
            "import pytest\n"
            "from harness.case import Ask\n\n\n"
            '@pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip", "reverse")))\n'
            "def test_mine(ablation):\n"
            "    ablation.check(ablation.measure())\n"
        )
        session.chdir(case.parent)
        session.run("pytest", "-q", "test_mine.py")
