"""The command line: commands by name, errors in one line with exit code 4."""

from __future__ import annotations

import io
import os
import signal
import sys

import pytest

from harness.cli import main as command_line
from harness.cli.main import COMMANDS, GROUPS, load, main
from harness.errors import HarnessError
from harness.results.journal import Journal
from tests.helpers.records import quality


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nowhere"], "error: no journal in nowhere"),
        (["fingerprint", "flux-tinny"], "error: checkpoint 'flux-tinny' is neither a bundled checkpoint nor a folder"),
        (["fingerprint", "flux-tiny", "--device", "gpu"], "error: device 'gpu' can't be used here"),
        (["tiny", "evaluate", "flux-tinny"], "error: checkpoint 'flux-tinny'"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(arguments) == 4
    written = capsys.readouterr()
    assert written.err.startswith(message)
    assert written.err.count("\n") == 1


def test_a_damaged_journal_is_named(tmp_path, capsys):
    (tmp_path / "shard-1-of-1.jsonl").write_text('{"schema": 1}\n')
    assert main(["report", str(tmp_path)]) == 4
    assert "line 1 is no record: record.kind is missing" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_answered_with_the_nearest(tmp_path, capsys):
    journal = Journal(tmp_path / "20261122-083103-a295")
    journal.append(quality("skip", 0.5))
    journal.close()
    assert main(["report", str(tmp_path / "20261122-083103-a259")]) == 4
    assert "-a259 (did you mean '20261122-083103-a295'?): a run folder holds" in capsys.readouterr().err


def test_help_lists_every_command_with_its_line(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for name, command in COMMANDS.items():
        assert told.count(f" {name} {command.help}") == 1
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)
    places = [told.index(f"{heading}: {names[0]} ") for heading, names in GROUPS.items()]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith(f"usage: python -m harness {name} ")
    assert " ".join(load(name).__doc__.replace("``", "`").split()) in told


def test_every_module_of_a_command_has_the_same_shape():
    for name in COMMANDS:
        module = load(name)
        assert module.__doc__
        assert callable(module.add_arguments)
        assert callable(module.run)


@pytest.mark.parametrize("arguments", [[], ["upgrad"], ["compare", "one"], ["list", "--nothing"]], ids=" ".join)
def test_a_command_line_that_does_not_parse_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m harness" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lsit"], "argument COMMAND: invalid choice: 'lsit' (did you mean 'list'?) (choose from init, list, "),
        (["gremlins"], "argument COMMAND: invalid choice: 'gremlins' (choose from init, list, "),
        (["tiny", "trian"], "invalid choice: 'trian' (did you mean 'train'?) (choose from train, evaluate)"),
        (["list", "--stepps=3"], "harness list: error: unknown option --stepps (did you mean '--steps'?)"),
        (["list", "--gremlins"], "error: unrecognized arguments: --gremlins"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_with_the_nearest_right_word(arguments, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("/usr/bin/dit-harness", "dit-harness"),
        (r"dit-harness.exe", "dit-harness"),
        ("__main__.py", "python -m harness"),
    ],
)
def test_the_usage_says_what_was_typed(program, shown, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [program, "false-reds", "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out.startswith(f"usage: {shown} false-reds [-h]")


class Recorder:
    """A command that keeps what it was run with, or fails."""

    __doc__ = "A command."

    def __init__(self, *, takes_pytest=False, error=None):
        self.takes_pytest, self.error, self.arguments = takes_pytest, error, None

    def add_arguments(self, parser):
        parser.add_argument("words", nargs="*")
        if self.takes_pytest:
            command_line.common.add_pytest_arguments(parser)

    def run(self, arguments):
        if callable(self.error):
            self.error()
        elif self.error is not None:
            raise self.error
        self.arguments = arguments


@pytest.fixture
def recorder(monkeypatch):
    def install(**options):
        command = Recorder(**options)
        monkeypatch.setattr(command_line, "load", lambda _name: command)
        return command

    return install


@pytest.mark.parametrize(
    ("words", "own", "pytest_arguments"),
    [
        (["a", "b", "--", "-k", "flux"], ["a", "b"], ["-k", "flux"]),
        (["--", "--", "x"], [], ["--", "x"]),
        (["a", "--"], ["a"], []),
        (["a"], ["a"], []),
        (["--", "a"], [], ["a"]),
    ],
)
def test_what_stands_behind_two_dashes_goes_to_pytest(words, own, pytest_arguments, recorder):
    command = recorder(takes_pytest=True)
    assert main(["upgrade", *words]) == 0
    assert (command.arguments.words, command.arguments.pytest_arguments) == (own, pytest_arguments)


def test_of_other_commands_two_dashes_end_the_options(recorder):
    command = recorder()
    assert main(["report", "--", "-x"]) == 0
    assert command.arguments.words == ["-x"]


@pytest.mark.parametrize(
    ("error", "code", "written"),
    [(HarnessError("fix it"), 4, "error: fix it\n"), (KeyboardInterrupt(), 130, "stopped\n")],
)
def test_how_a_command_may_end(error, code, written, recorder, capsys):
    recorder(error=error)
    assert main(["report"]) == code
    assert capsys.readouterr().err == written


def test_sigterm_ends_a_command_as_ctrl_c_does_and_leaves_the_handler(recorder, capsys):
    command = recorder(error=lambda: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["report"]) == 130
    assert capsys.readouterr().err == "stopped\n"
    command.same_goes_on = lambda _arguments: True
    assert main(["report", "a b"]) == 130
    assert capsys.readouterr().err.endswith("report 'a b'\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_closed_pipe_is_no_error(recorder, monkeypatch):
    recorder(error=BrokenPipeError())
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["report"]) == 0
    os.close(read)


def test_a_terminal_without_a_plus_minus_sign_shows_a_question_mark(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.append(quality("skip", 0.5))
    journal.close()
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["report", str(tmp_path)]) == 0
    stream.flush()
    assert b"least harmful variant: m" in stream.buffer.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ["fingerprint", "flux-tiny", "--threads", "-1"],
        ["fingerprint", "flux-tiny", "--threads", "99999999999999999999"],
        ["lokr", "--bins", "1000000000"],
        ["tiny", "evaluate", "flux-tiny", "--layouts", "0"],
        ["repeat", "9" * 5000],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_absurd_numbers_are_refused_by_the_command_line(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert " is no " in last
    assert len(last) < 200


@pytest.mark.parametrize("command", ["report", "fingerprint", "compare"])
def test_a_name_that_is_too_long_for_a_file_is_one_line(command, capsys):
    assert main([command, "x" * 5000, *(["y"] if command == "compare" else [])]) == 4
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert len(said) < 720


def test_an_argument_is_shown_and_not_obeyed(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["screen", "x", "\x1b[31m" + "y" * 5000])
    said = capsys.readouterr().err
    assert "unrecognized arguments: \\x1b[31my" in said
    assert said.isprintable() or not {c for c in said if not c.isprintable()} - {"\n"}
    assert len(said.splitlines()[-1]) < 800
