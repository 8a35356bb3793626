"""The page of an upgrade has the answer first."""

from __future__ import annotations

from harness.gates.upgrade import upgrades, versions
from harness.report.upgrade_page import markdown
from tests.helpers.records import TOLERANCES
from tests.helpers.upgrades import under


def test_the_page_has_the_answer_first():
    runs = [under("0.33"), under("0.35", 0, 0.4, 0)]
    text = markdown(upgrades(runs, under("0.35", 0, 0.4, 0), TOLERANCES), versions(runs))
    lines = text.splitlines()
    assert lines[2] == "- **m, float32: no** (something got surely worse than its tolerance allows)"
    assert "| 0.33 | - | 0.33 | - |" in lines
    assert any(line.startswith("| s-reverse | harm | 0.1 | 0.2 | 0.6 |") and "0.35" in line for line in lines)
    assert any("(null run)" in line for line in lines)
