"""The same names locally and in CI: ``nox -s lint types tests cases wheel``."""

from __future__ import annotations

import re
import shutil
import sys
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


# diffusers, and what fits beside it; "pinned" is what constraints.txt says, "newest" whatever the registry has.
PAIRS: dict[str, dict[str, str]] = {
    "0.33.1": OLDEST,
    "0.35.2": {**OLDEST, "diffusers": "==0.35.2", "transformers": "==4.56.2", "tokenizers": "<0.23"},
    "pinned": {},
    "newest": dict.fromkeys(OLDEST, ""),
}


@nox.session(venv_backend="none")
def upgrade(session: nox.Session) -> None:
    """The same cases under several versions of diffusers, and one report: ``nox -s upgrade -- 0.33.1 newest -k flux``.

    A version is one of PAIRS or a folder with a git checkout of diffusers; what begins with ``-``, and all behind it,
    goes to pytest. Each runs in float32 and in bfloat16, the last one twice (the null run).
    """
    given = list(session.posargs)
    start = next((i for i, word in enumerate(given) if word.startswith("-")), len(given))
    labels, rest = given[:start] or ["0.33.1", "0.35.2", "newest"], given[start:]
    reports = Path("reports") / "upgrade"
    runs: list[str] = []
    again: list[str] = []
    for number, label in enumerate([*labels, labels[-1]]):
        python = _environment(session, label)
        null = number == len(labels)
        for dtype in ("float32", "bfloat16"):
            name = f"{Path(label).name}-{dtype}" + ("-null" if null else "")
            shutil.rmtree(reports / name, ignore_errors=True)
            arguments = ["--benchmark-skip", f"--dit-dtype={dtype}", f"--dit-run-id={name}", f"--dit-reports={reports}"]
            # A red case is what the report is about.
            session.run(python, "-m", "pytest", "cases/", "-q", *arguments, *rest, external=True, success_codes=[0, 1])
            (again if null else runs).append(
                f"--null={reports / name}" if null else f"{Path(label).name}={reports / name}"
            )
    page = reports / "upgrade.md"
    command = [_environment(session, labels[-1]), "-m", "harness", "upgrade", *runs, *again, f"--markdown={page}"]
    session.run(*command, "--fail-on-regression", external=True)


def _environment(session: nox.Session, label: str) -> str:
    """The python of a virtual environment with that diffusers, made where it isn't there yet."""
    folder = Path(".nox") / f"upgrade-{Path(label).name}"
    python = str(folder / "bin" / "python")
    if not (folder / "ready").exists():
        if label not in PAIRS and not (Path(label) / "setup.py").exists():
            session.error(f"{label!r} is neither one of {', '.join(PAIRS)} nor a folder with a checkout of diffusers")
        pins = PAIRS.get(label, PAIRS["newest"])
        kept = [line for line in Path(CONSTRAINTS).read_text().splitlines() if _package(line) not in pins]
        session.run(sys.executable, "-m", "venv", "--clear", str(folder), external=True)
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join([*kept, *(name + pin for name, pin in pins.items() if pin)]) + "\n")
        wanted = [f"{name}{pin}" for name, pin in pins.items()] if label in PAIRS else [label]
        session.run(python, "-m", "pip", "install", "-q", "-c", str(constraints), "-e", ".", *wanted, external=True)
        (folder / "ready").touch()
    return python


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
