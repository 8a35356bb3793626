"""The same names locally and in CI: ``nox -s lint types tests cases wheel``."""

from __future__ import annotations

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
