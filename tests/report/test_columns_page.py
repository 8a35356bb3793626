"""README.md and docs/measurement.md explain the columns and figures as they are declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.report.columns_page import columns_markdown, figures_markdown, main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "mark", "table"),
    [("README.md", "columns", columns_markdown), ("docs/measurement.md", "figures", figures_markdown)],
    ids=["README", "measurement"],
)
def test_the_table_between_the_marks_is_the_declared_one(page, mark, table):
    command = f"python -m harness.report.columns_page {mark}"
    found = re.search(rf"<!-- {mark}: {command} -->\n(.*?)\n<!-- /{mark} -->", (ROOT / page).read_text(), re.DOTALL)
    assert found, f"{page} has no marks for the table"
    assert found[1] == table(), f"{page} is behind the declarations: put in what `{command}` prints"


def test_the_command_prints_them(capsys):
    assert main(["columns"]) == 0
    assert capsys.readouterr().out == columns_markdown() + "\n"


def test_a_column_of_a_negative_has_the_other_better_side():
    (row,) = (line for line in columns_markdown().splitlines() if line.startswith("| checker |"))
    assert row.endswith(" | higher | harm |")
    (row,) = (line for line in figures_markdown().splitlines() if line.startswith("| `grade_loss` |"))
    assert " | lower | " in row
