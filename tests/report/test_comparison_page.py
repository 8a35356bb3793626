"""A comparison in a terminal and as Markdown."""

from __future__ import annotations

from dataclasses import replace

from harness.gates.comparison import compare
from harness.report.comparison_page import markdown, render
from tests.helpers.records import FINGERPRINT, TOLERANCES, quality, shifted


def test_both_renderings_hold_the_same_rows():
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    found = compare(run, [run[0], shifted(run[1], 0.4)], TOLERANCES)
    for text in (markdown(found), render(found, 200, colour=False)):
        assert "s-reverse" in text
        assert "worse" in text
        assert "s-skip" not in text


def test_what_foreign_journals_say_is_shown_and_not_obeyed():
    bad = "\x1b[31m<script>|\n"
    other = replace(quality("skip", 1.0), checkpoint=bad, case=f"{bad}-{bad}")
    run = [replace(other, fingerprint=replace(other.fingerprint, checkpoint=bad, capability=bad))]
    found = compare(run, [shifted(replace(run[0], fingerprint=FINGERPRINT), 0.4)], TOLERANCES)
    for text in (markdown(found), render(found, 200, colour=False)):
        assert "\\x1b[31m" in text
        assert not {c for c in text if not c.isprintable()} - {"\n"}
    assert "<" not in markdown(found)
