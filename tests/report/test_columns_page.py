"""README.md and docs/measurement.md explain the columns and figures as they are declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.report.columns_page import columns_markdown, figures_markdown, headline_markdown, main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "mark", "table"),
    [
        ("README.md", "headline", headline_markdown),
        ("docs/measurement.md", "columns", columns_markdown),
        ("docs/measurement.md", "figures", figures_markdown),
    ],
    ids=["README", "measurement", "measurement-figures"],
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


def test_the_readme_shows_the_columns_that_it_explains_and_two_figures():
    text = (ROOT / "README.md").read_text()
    (shown,) = re.findall(r"<!-- what can go -->\n(.*?)\n<!-- /what can go -->", text, re.DOTALL)
    head = [cell.strip() for cell in shown.splitlines()[0].strip("|").split("|")]
    assert head == [line.split(" | ")[0].removeprefix("| ") for line in headline_markdown().splitlines()[2:]]
    assert head == ["#", "variant", "harm [points]", "speed-up", "CLIP", "drift", "gate"]
    assert len(shown.splitlines()) > 4
    first_screen = text[: text.index("## What a run tells")]
    before_installing = text[: text.index("```sh")]
    assert shown in before_installing
    assert "](docs/flux-tiny-pareto.png)" in before_installing
    assert "--dit-columns" in before_installing
    for picture in ("docs/flux-tiny-pareto.png", "docs/flux-tiny-blocks.png"):
        assert f"]({picture})" in first_screen
        assert (ROOT / picture).exists()
    assert "Every figure in this repository is of the small bundled models" in first_screen
    assert "34 GB" in first_screen


def test_the_short_table_says_what_is_good():
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in headline_markdown().splitlines()[2:]}
    assert rows["harm [points]"].endswith(" | low |")
    assert rows["CLIP"].endswith(" | high |")
    assert rows["drift"].endswith(" | low |")
    assert rows["speed-up"].endswith(" | high |")
    assert rows["variant"].endswith(" | - |")
