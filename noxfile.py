"""The same names locally and in CI: ``nox -s lint types tests cases wheel``."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
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
    pair = OLDEST if which == "oldest" else dict.fromkeys(OLDEST, "")
    kept = [line for line in Path(CONSTRAINTS).read_text().splitlines() if _package(line) not in pair]
    # Not session.create_tmp(): that sets TMPDIR to a folder in this repository, whose pyproject.toml the pytest runs
    # inside the tests would then find.
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join([*kept, *(name + pin for name, pin in pair.items() if pin)]) + "\n")
        session.install("-c", str(constraints), "-e.[dev]", *(f"{name}{pin}" for name, pin in pair.items()))
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


def pins(label: str) -> dict[str, str] | None:
    """What is installed for a label: one of PAIRS, or any release of diffusers; None for anything else.

    Up to 0.40 a release gets the oldest transformers, so that a bisection there changes diffusers alone; from 0.41 on
    the newest that the registry has (0.36 to 0.40 need huggingface_hub < 2).
    """
    if label in PAIRS:
        return PAIRS[label]
    release = re.fullmatch(r"0\.(\d+)\.\d+", label)
    if release is None:
        return None
    beside = OLDEST if int(release[1]) <= 40 else dict.fromkeys(OLDEST, "")
    return {**beside, "diffusers": f"=={label}"}


@nox.session(venv_backend="none")
def upgrade(session: nox.Session) -> None:
    """The same cases under several versions of diffusers, and one report: ``nox -s upgrade -- 0.33.1 newest -k flux``.

    A version is one of PAIRS, a release, or a folder with a git checkout of diffusers; what begins with ``-``, and all
    behind it, goes to pytest. Each runs in float32 and in bfloat16, the last one twice (the null run).
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
    session.run(*command, f"--every={reports / 'every.md'}", "--fail-on-regression", external=True)


@nox.session(venv_backend="none")
def repeat(session: nox.Session) -> None:
    """Clean runs of the quick set under varied circumstances, and how many were red: ``nox -s repeat -- 60 -k flux``.

    The circumstances of a run are drawn from its number: threads, batch, instruction set, attention kernel, ulps.
    A run that is already there is not made again. What follows the number goes to pytest.
    """
    number, *rest = session.posargs or ["60"]
    reports = Path("reports") / "repeat"
    for index in range(int(number)):
        draw = random.Random(index)  # noqa: S311 - a design of experiments, no secret
        changes = [
            f"threads={draw.choice((1, 2, 3, 4))}",
            f"batch={draw.choice((5, 8, 16, 24, 32, 64))}",
            *draw.choice(((), ("cpu=avx2",), ("cpu=default",))),
            *draw.choice(((), ("sdpa=math",))),
            *draw.choice(((), ("ulp=1",), ("ulp=2",))),
        ]
        folder = reports / f"{index:03d}"
        if (folder / "ranking.md").exists():  # written last
            continue
        arguments = [
            f"--dit-run-id={folder.name}",
            f"--dit-reports={reports}",
            *(f"--dit-perturb={c}" for c in changes),
        ]
        command = ["python", "-m", "pytest", "cases/", "-q", "--dit-quick", "--benchmark-skip", *arguments, *rest]
        session.run(*command, external=True, success_codes=[0, 1])
    runs = [str(reports / f"{index:03d}") for index in range(int(number))]
    page = reports / "false-reds.md"
    session.run("python", "-m", "harness", "false-reds", *runs, f"--markdown={page}", "--fail", external=True)


@nox.session(venv_backend="none")
def bisect(session: nox.Session) -> None:
    """The first release of diffusers that moved something: ``nox -s bisect -- 0.33.1 0.35.2 bfloat16 bits -k flux``.

    The third word is the dtype (float32), the fourth what counts as moved, as in ``harness compare --fail-on``
    (change). What begins with ``-``, and all behind it, goes to pytest.
    """
    given = list(session.posargs)
    start = next((i for i, word in enumerate(given) if word.startswith("-")), len(given))
    words, rest = given[:start], given[start:]
    if not 2 <= len(words) <= 4:
        session.error("bisect takes OLD NEW [DTYPE [regression|change|bits]]")
    old, new, dtype, how = (*words, *("float32", "change")[len(words) - 2 :])
    releases = _releases(session, old, new)
    reports = Path("reports") / "bisect"

    def run(version: str) -> Path:
        folder = reports / f"{version}-{dtype}"
        if not folder.exists():  # an earlier bisection's answers are still true
            python = _environment(session, version)
            arguments = ["--benchmark-skip", f"--dit-dtype={dtype}", f"--dit-run-id={folder.name}"]
            command = [python, "-m", "pytest", "cases/", "-q", *arguments, f"--dit-reports={reports}", *rest]
            session.run(*command, external=True, success_codes=[0, 1])
        return folder

    def moved(version: str) -> bool:
        """Whether anything differs between the old release and this one."""
        runs = [str(run(old)), str(run(version))]
        command = [_environment(session, old), "-m", "harness", "compare", *runs, f"--fail-on={how}"]
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - the harness itself; nox hides the code
        if code not in (0, 1):
            session.error(f"the comparison of {old} and {version} ended with exit code {code}")
        return code == 1

    session.log(f"{len(releases)} releases: {', '.join(releases)}")
    low, high = 0, len(releases) - 1  # nothing moved at low; something did at high
    if not moved(releases[high]):
        session.log(f"nothing moved from {old} to {new} ({dtype}, {how})")
        return
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if moved(releases[middle]) else (middle, high)
    session.log(f"{dtype}, {how}: the first release that moved something is {releases[high]} (after {releases[low]})")


def _releases(session: nox.Session, old: str, new: str) -> list[str]:
    """The registry's releases of diffusers from one to another, both included, the old one first."""
    command = [sys.executable, "-m", "pip", "index", "versions", "diffusers"]
    printed = str(session.run(*command, external=True, silent=True))
    found = re.search(r"Available versions: (.*)", printed)
    known = [version.strip() for version in found[1].split(",")][::-1] if found else []
    for version in (old, new):
        if version not in known:
            session.error(f"the registry has no diffusers {version}")
    return known[known.index(old) : known.index(new) + 1]


def _environment(session: nox.Session, label: str) -> str:
    """The python of a virtual environment with that diffusers, made where it isn't there yet."""
    folder = Path(".nox") / f"upgrade-{Path(label).name}"
    python = str(folder / "bin" / "python")
    if not (folder / "ready").exists():
        wanted = pins(label)
        if wanted is None and not (Path(label) / "setup.py").exists():
            known = ", ".join(PAIRS)
            session.error(f"{label!r} is no release, none of {known}, and no folder with a checkout of diffusers")
        beside = wanted if wanted is not None else PAIRS["newest"]
        kept = [line for line in Path(CONSTRAINTS).read_text().splitlines() if _package(line) not in beside]
        session.run(sys.executable, "-m", "venv", "--clear", str(folder), external=True)
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join([*kept, *(name + pin for name, pin in beside.items() if pin)]) + "\n")
        named = [label] if wanted is None else [f"{name}{pin}" for name, pin in wanted.items()]
        session.run(python, "-m", "pip", "install", "-q", "-c", str(constraints), "-e", ".", *named, external=True)
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
            "from harness import Ask\n\n\n"
            '@pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip", "reverse")))\n'
            "def test_mine(ablation):\n"
            "    ablation.check(ablation.measure())\n"
        )
        session.chdir(case.parent)
        session.run("pytest", "-q", "test_mine.py")
