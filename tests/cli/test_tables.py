"""Tables in a terminal and in a pipe."""

from __future__ import annotations

from harness.cli.tables import Section, blocks, draw

LONG = "a strategy that is explained at such a length that no terminal shows it in one line, " * 2
TABLE = Section("strategies", ("name", "what it is"), [("skip", LONG.strip()), ("[bold]", "no markup")])


def test_a_pipe_gets_one_row_a_line():
    lines = draw([TABLE], None).splitlines()
    assert lines[0] == "strategies"
    assert lines[1].split() == ["name", "what", "it", "is"]
    assert lines[2] == f"skip    {LONG.strip()}"
    assert lines[3] == "[bold]  no markup"
    assert not any(line != line.rstrip() for line in lines)


def test_a_terminal_gets_whole_names_within_its_width():
    lines = draw([TABLE], 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert sum(line.startswith("skip ") for line in lines) == 1
    assert len(lines) > 6  # the explanation is folded


def test_stacks_are_counted():
    assert blocks({"double": 5, "single": 10}) == "5 double, 10 single"
    assert blocks({}) == "-"
