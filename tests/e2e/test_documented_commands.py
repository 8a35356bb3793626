"""Every command that README.md, CONTRIBUTING.md and docs/ show, in its cheapest form.

Runs of cases are collected, commands of the harness are parsed (the fast ones run), sessions, extras and files that
other tools are given are there. At night tests/e2e/test_documented_shell.py runs the commands themselves, and
tests/e2e/test_gpu_page.py those of docs/gpu.md.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.analysis.lokr.angle_records import AngleRecord
from harness.cli.main import COMMANDS, main, parse
from harness.models.checkpoints.resolve import resolve
from tests.helpers.angles import write

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
# What a word stands for, where a command needs a value that is there.
VALUES = {"$CHECKPOINT": "flux-tiny", "$DTYPE": "bfloat16", "CHECKPOINT": "flux-tiny", "NAME": "flux-tiny"}
OURS = ("pytest", "python", "dit-harness", "nox", "pip")
THEIRS = ("python3", ".", "export", "git", "hf", "ruff", "mypy", "lint-imports", "pre-commit")  # no options of ours
# Whose weights nobody has here.
DOWNLOADS = re.compile(r"--dit-checkpoint=(FLUX\.1-(?:schnell|dev)|Qwen/Qwen-Image-Layered)(?!.*--dit-weights)")


class Command(NamedTuple):
    """A command as pages show it. It is ``whole`` but in the sentences of docs/, which may leave arguments out."""

    words: tuple[str, ...]
    whole: bool
    pages: tuple[str, ...]


def commands(page: Path) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The commands of a page's shell blocks, and of its spans of code; and whether they are whole."""
    text = page.read_text()
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.sub(r"(^|\s)#.*", "", line).split("&&"):
                if part.strip():
                    yield tuple(shlex.split(part)), True
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
        for part in re.sub(r"\s+", " ", span).split(" && "):
            if part.split()[0] in (*OURS, *THEIRS[4:]):
                yield tuple(shlex.split(part.replace("\\|", "|"))), page.name == "README.md"


def all_commands() -> list[Command]:
    """The commands of all pages, each once."""
    merged: dict[tuple[str, ...], Command] = {}
    for page in PAGES:
        for words, whole in commands(page):
            before = merged.get(words, Command(words, False, ()))
            merged[words] = Command(words, before.whole or whole, (*before.pages, page.name))
    return list(merged.values())


ALL = all_commands()


def of(*start: str) -> list[object]:
    """The commands that begin with these words, as parameters; those of the harness under either of its names."""
    chosen = [command for command in ALL if command.words[: len(start)] == start]
    return [pytest.param(command, id=" ".join(command.words)) for command in chosen]


def filled(words: tuple[str, ...]) -> list[str]:
    """The words with something in the place of what a reader fills in."""
    for name, value in VALUES.items():
        words = tuple(re.sub(rf"(?<![\w$]){re.escape(name)}(?!\w)", value, word) for word in words)
    return [word.strip("[]") for word in words]


def test_every_command_is_looked_at():
    assert len(ALL) > 70
    first = {command.words[0] for command in ALL}
    assert first <= {*OURS, *THEIRS}
    assert len(of("pytest", "cases/")) > 15
    harness = [command.words for command in ALL if command.words[:3] == ("python", "-m", "harness")]
    assert {words[3] for words in harness if words[3:] and not words[3].startswith("-")} == set(COMMANDS), (
        "a command that no page shows"
    )


def test_a_command_of_the_readme_may_be_copied_from_the_source():
    """In a table GitHub shows \\| as |; a shell is given the backslash."""
    assert not [line for line in PAGES[0].read_text().splitlines() if re.search(r"`(pytest|python) [^`]*\\\|", line)]


@pytest.fixture
def at_home(pytester, loaded, monkeypatch, tmp_path):
    """Runs of pytest in this repository, which find no weights on this disk and don't ask the hub."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return pytester


RUNS = [p for p in of("pytest") if "cases" in p.id]
RUN_FOR_REAL = {"gpu.md"}  # by its own test; start.md and tutorial.md are run by tests/e2e/test_tutorial.py, too


@pytest.mark.parametrize("command", [p for p in RUNS if set(p.values[0].pages) != RUN_FOR_REAL])
def test_runs_of_cases_are_collected(command, at_home):
    quiet = ("--co", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")
    result = at_home.runpytest_inprocess(*filled(command.words)[1:], *quiet)
    trackers = [name for word in command.words if word.startswith("--dit-log=") for name in word[10:].split(",")]
    lacking = next((name for name in trackers if find_spec(name) is None), None)
    if lacking is not None:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            [f"ERROR: --dit-log={lacking} needs the package *'dit-ablation-harness?{lacking}?'"]
        )
    elif asked := DOWNLOADS.search(" ".join(command.words)):
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: checkpoint '{asked[1]}'*hf download *{asked[1]}*"])
    else:
        assert result.ret == 0, result.stderr.str()
        assert any("::test_" in line for line in result.outlines)


@pytest.mark.parametrize("command", [p for p in of("pytest") if p not in RUNS])
def test_runs_of_tests_name_what_is_there(command, at_home):
    words = list(command.words[1:])
    config = at_home.parseconfig(*words, "-p", "no:cacheprovider")
    for path in (word for word in words if word.startswith("tests")):
        assert (ROOT / path).exists()
    assert config.rootpath == ROOT


OF_HARNESS = [*of("python", "-m", "harness"), *of("dit-harness")]


@pytest.mark.parametrize("command", OF_HARNESS)
def test_commands_of_the_harness_parse(command):
    words = filled(command.words)[1 if command.words[0] == "dit-harness" else 3 :]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parse(words or ["--help"])
        except SystemExit as stopped:
            lacks = re.search("error: (the following arguments are required|argument .*expected one)", said.getvalue())
            fine = stopped.code == 0 or (lacks and not command.whole)
            assert fine, said.getvalue()


@pytest.mark.parametrize("command", [p for p in OF_HARNESS if p.values[0].words[3:4] == ("list",)])
def test_lists_are_printed(command, capsys):
    words = [word for word in filled(command.words)[3:] if word != "--measure"]
    assert main(words) == 0
    assert "double" in capsys.readouterr().out


def test_factors_of_a_lokr_are_written(tmp_path, monkeypatch):
    (command,) = {p.values[0].words for p in of("python", "-m", "harness", "lokr")}
    monkeypatch.chdir(tmp_path)
    blocks = sum(resolve("flux-tiny").stacks.values())
    values = tuple(0.1 + 0.01 * i for i in range(blocks))
    write(tmp_path / "R.jsonl", [AngleRecord(t, values, values) for t in (0.05, 0.5, 0.95)])
    assert main(filled(command)[3:]) == 0
    assert (tmp_path / "lycoris.json").exists()


@pytest.mark.parametrize("command", [p for p in of("python", "-m") if p.values[0].words[2] != "harness"])
def test_modules_that_are_run_are_there(command):
    assert importlib.util.find_spec(command.words[2]) is not None


@pytest.mark.parametrize("command", of("nox"))
def test_sessions_of_nox_are_there_and_take_what_they_are_given(command):
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    option, session, *rest = command.words[1:]
    assert option == "-s"
    name, _, version = session.partition("-")
    assert name in sessions
    assert not version or f'"{version}"' in (ROOT / "noxfile.py").read_text().partition("PYTHONS = ")[2].split("\n")[0]
    if rest:
        assert rest[0] == "--"
        assert parse([session, *rest[1:]]).command == session


@pytest.mark.parametrize("command", of("pip"))
def test_what_pip_installs_is_there(command):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"\[(.*?)\]", " ".join(command.words)):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
    for name in re.findall(r"-c (\S+)", " ".join(command.words)):
        assert (ROOT / name).exists()
    names = [re.split(r"[\[]", word)[0] for word in command.words[2:] if word.startswith("dit-")]
    assert set(names) <= {project["name"]}


def test_every_option_that_a_page_names_is_registered(pytestconfig):
    registered = {
        "--dit-" + name.removeprefix("dit_").replace("_", "-")
        for name in vars(pytestconfig.option)
        if name.startswith("dit_")
    }
    for page in PAGES:
        named = set(re.findall(r"--dit-[a-z]+(?:-[a-z]+)*", page.read_text()))
        assert named <= registered, page.name
    assert set(re.findall(r"--dit-[a-z]+(?:-[a-z]+)*", (ROOT / "docs" / "options.md").read_text())) == registered
