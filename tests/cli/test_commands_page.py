"""docs/commands.md lists the commands as they are."""

from __future__ import annotations

import re
from pathlib import Path

from harness.cli.commands_page import commands_markdown
from harness.cli.main import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
COMMAND = "python -m harness.cli.commands_page"


def test_what_stands_between_the_marks_is_what_the_commands_take():
    listed = re.search(rf"<!-- commands: {COMMAND} -->\n(.*?)\n<!-- /commands -->", PAGE.read_text(), re.DOTALL)
    assert listed, "docs/commands.md has no marks for the commands"
    assert listed[1] == commands_markdown(), f"docs/commands.md is behind: put in what `{COMMAND}` prints"


def test_every_command_stands_there_with_its_arguments():
    text = commands_markdown()
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) == set(COMMANDS)
    assert "| `--plan PLAN` | the blocks that stay, in their order: " in text
    assert "`stored`:" in text
    assert "%(default)s" not in text
    assert "==SUPPRESS==" not in text
