"""Tables of findings say what was found and why."""

from __future__ import annotations

from harness.findings.claim import judge
from harness.report.findings_page import cells, markdown, render
from tests.helpers.studies import CLAIMS, Made, parts


def test_tables_say_what_was_found_and_why():
    found = [judge(CLAIMS["B4"], Made("flux", parts(skip=0.2))), judge(CLAIMS["B9"], Made("sd3"))]
    text = markdown(found)
    assert "## On flux-made" in text
    assert "1 supported." in text
    assert "1 not applicable." in text
    assert "| B4 | skipping double 0 is not catastrophic in FLUX" in text
    assert cells(found[1])[3] == "block 14 of 24 has no counterpart in 12 blocks"
    wide, narrow = render(found, 200, colour=False), render(found, 80, colour=False)
    assert "published claims, on flux-made: 1 supported" in wide
    assert "source" in wide
    assert "source" not in narrow
    assert str(found[0].decisive.value.high)[:4] in wide
    assert "[" in wide  # rich would take an interval for markup
    assert str(found[0].decisive.value.high)[:4] in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    assert "\x1b[" in render(found, 100, colour=True)
