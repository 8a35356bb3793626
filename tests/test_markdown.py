"""Tables and texts of anybody's in Markdown."""

from __future__ import annotations

from harness.markdown import code_text, markdown_table, markdown_text


def test_a_bar_does_not_end_its_cell():
    assert markdown_table(("plan", "harm"), [("0 (1|2)", "1.0")]) == [
        "| plan | harm |",
        "| --- | --- |",
        "| 0 (1\\|2) | 1.0 |",
    ]
    assert len(markdown_table(("a",), [])) == 2


def test_a_backslash_does_not_free_the_bar_behind_it():
    assert markdown_text("a\\|b") == "a\\\\\\|b"


def test_a_backquote_does_not_end_the_code():
    assert code_text("a`b\nc") == "a'b\\nc"
