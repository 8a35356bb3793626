"""The page of an upgrade has the answer first."""

from __future__ import annotations

from dataclasses import replace

from harness.gates.upgrade import Run, upgrades, versions
from harness.report.upgrade_page import every, markdown
from tests.helpers.records import TOLERANCES, raised
from tests.helpers.upgrades import under


def test_the_page_has_the_answer_first():
    runs = [under("0.33"), under("0.35", 0, 0.4, 0)]
    text = markdown(upgrades(runs, under("0.35", 0, 0.4, 0), TOLERANCES), versions(runs))
    lines = text.splitlines()
    assert lines[2] == "- **m, float32: no** (something got surely worse than its tolerance allows)"
    assert "| 0.33 | - | 0.33 | - | - |" in lines
    assert any(line.startswith("| s-reverse | harm | 0.1 | 0.2 | 0.6 |") and "0.35" in line for line in lines)
    assert any("(null run)" in line for line in lines)


def test_what_the_new_version_lacks_is_named_with_the_reason():
    new = under("0.35").records
    runs = [under("0.33"), Run("0.35", [new[0], raised(new[1], "TypeError: forward() got a | b")])]
    answers = upgrades(runs, None, TOLERANCES)
    text = markdown(answers, versions(runs))
    assert text.splitlines()[2] == "- **m, float32: no** (2 of 3 cases are missing or failed under 0.35)"
    table = ["| case | 0.33 | 0.35 |", "| --- | --- | --- |"]
    rows = ["| s-reverse | measured | TypeError: forward() got a \\| b |", "| s-swap | measured | missing |"]
    assert "\n".join(["## Missing or failed: m, float32", "", *table, *rows]) in text
    assert "| m | float32 | 0.33 | 0.35 | 2 | 2 | 0 | 0 | 2 | 0 | 0 |" in text
    page = every(answers)
    assert "| s-swap | quality | - | - | - | 0 | only in A | - |" in page
    assert "| s-reverse | quality | - | - | - | 0 | failed in B | error |" in page


def test_a_crash_is_said_and_long_lists_are_cut():
    old = under("0.33")
    many = [replace(r, case=f"{r.case}-{i}") for i in range(10) for r in old.records]
    crashed = Run("0.35", [], {"float32": "pytest ended with exit code -11 (something broke)"})
    (answer,) = upgrades([Run("0.33", many), crashed], None, TOLERANCES)
    text = markdown([answer], {})
    said = "30 of 30 cases are missing or failed under 0.35; the run under 0.35 is not complete: pytest ended with exit"
    assert f"- **m, float32: no** ({said} code -11 (something broke))" in text
    assert "And 10 more." in text
    assert sum(line.endswith("| measured | missing |") for line in text.splitlines()) == 20
    assert sum(line.endswith("| measured | missing |") for line in every([answer]).splitlines()) == 30


def test_what_foreign_journals_say_is_text():
    bad = "\x1b[31m<script>|\n"
    records = [
        replace(r, checkpoint=bad, fingerprint=replace(r.fingerprint, checkpoint=bad)) for r in under("0.33").records
    ]
    answers = upgrades([Run("0.33", records), Run("0.35", records[:1], {"float32": bad})], None, TOLERANCES)
    for text in (markdown(answers, {}), every(answers)):
        assert "\\x1b[31m" in text
        assert "<" not in text
        assert not {c for c in text if not c.isprintable()} - {"\n"}
