"""docs/options.md lists the options as they are registered."""

from __future__ import annotations

import re
from pathlib import Path

from harness.plugin.options_page import options_markdown

PAGE = Path(__file__).parents[2] / "docs" / "options.md"


def test_the_table_between_the_marks_is_the_registered_one():
    command = "python -m harness.plugin.options_page"
    table = re.search(rf"<!-- options: {command} -->\n(.*?)\n<!-- /options -->", PAGE.read_text(), re.DOTALL)
    assert table, "docs/options.md has no marks for the table"
    assert table[1] == options_markdown(), f"docs/options.md is behind: put in what `{command}` prints"


def test_every_option_stands_there_with_its_key():
    rows = [line.split(" | ") for line in options_markdown().splitlines()[2:]]
    keys = {row[0].split()[1].strip("`"): row[1].strip("`") for row in rows}
    assert keys["--dit-steps"] == "dit_steps"
    assert keys["--dit-range-source"] == "dit_range_source"
    assert {option for option, key in keys.items() if key == "-"} == {
        "--dit-run-id",
        "--dit-resume",
        "--dit-shard",
        "--dit-budget",
        "--dit-baseline-update",
        "--dit-calibrate",
        "--dit-perturb",
    }
