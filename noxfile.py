"""The same names locally and in CI: ``nox -s lint types tests cases wheel``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))  # nox is installed alone: harness comes from this folder
from harness.cli.version_pins import NEWEST, OLDEST, constraint_lines

nox.options.sessions = ["lint", "types", "tests", "cases"]
CONSTRAINTS = "constraints.txt"
PYTHONS = ["3.11", "3.14"]  # the oldest that is supported, and the newest for which torch and all else have wheels


def install(session: nox.Session, what: str = "-e.[dev]") -> None:
    """Install the package under the constraints."""
    session.install("-c", CONSTRAINTS, what)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, as a linter and as a formatter, and import-linter: what may import what."""
    session.install("-c", CONSTRAINTS, "ruff", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    install(session)
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site, in site/; every warning is an error."""
    session.install("-c", CONSTRAINTS, "mkdocs-material", "mkdocs")
    session.run("mkdocs", "build", "--quiet", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests of the harness itself, by each Python that is installed (``nox -s tests-3.14`` by one)."""
    install(session)
    session.run("pytest", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """The long tests, which the other sessions leave out, and those of torchao's quantisers."""
    install(session, "-e.[dev,docs,quant]")
    session.run("pytest", "-m", "nightly", *session.posargs)


@nox.session
def cases(session: nox.Session) -> None:
    """The ablation cases."""
    install(session)
    session.run("pytest", "cases/", *session.posargs)


@nox.session
@nox.parametrize("which", ["oldest", "newest"])
def versions(session: nox.Session, which: str) -> None:
    """The tests and the quick cases on the oldest supported diffusers and transformers, and on the newest."""
    specifiers = OLDEST if which == "oldest" else NEWEST
    lines = constraint_lines(Path(CONSTRAINTS).read_text().splitlines(), specifiers)
    # Not session.create_tmp(): that sets TMPDIR to a folder in this repository, whose pyproject.toml the pytest runs
    # inside the tests would then find.
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(lines) + "\n")
        session.install("-c", str(constraints), "-e.[dev]", *(name + s for name, s in specifiers.items()))
    session.run("python", "-m", "pip", "list")
    session.run("pytest", *session.posargs)
    session.run("pytest", "cases/", "--dit-quick", *session.posargs)


@nox.session(venv_backend="none")
def upgrade(session: nox.Session) -> None:
    """What moves between versions of diffusers: ``nox -s upgrade -- 0.33.1 newest -- -k flux``."""
    session.run("python", "-m", "harness", "upgrade", "--run", "--fail-on-regression", *session.posargs, external=True)


@nox.session(venv_backend="none")
def repeat(session: nox.Session) -> None:
    """How many of so many runs without any fault are red: ``nox -s repeat -- 60 -- -k flux``."""
    session.run("python", "-m", "harness", "repeat", "--fail", *session.posargs, external=True)


@nox.session(venv_backend="none")
def bisect(session: nox.Session) -> None:
    """The first release of diffusers that changed something: ``nox -s bisect -- 0.33.1 0.35.2 -- -k flux``."""
    session.run("python", "-m", "harness", "bisect", *session.posargs, external=True)


@nox.session
def wheel(session: nox.Session) -> None:
    """The built wheel alone, in another folder: what ``init`` makes there, and the quick cases."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--wheel", "--outdir", folder)
        (built,) = Path(folder).glob("*.whl")
        install(session, str(built))
        elsewhere = Path(folder) / "elsewhere"
        elsewhere.mkdir()
        session.chdir(elsewhere)
        session.run("dit-harness", "init")
        session.run("pytest", "cases/", "-k", "flux", "--dit-quick")
        session.run("dit-harness", "list", "flux-tiny")
