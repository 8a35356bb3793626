"""The docs name every claim and every word, and their example works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.findings.claim import ClaimVerdict, judge
from harness.findings.definitions import LEVEL, WORDS
from tests.helpers.studies import CLAIMS, Made


def test_the_docs_name_every_claim_and_every_word():
    text = (Path(__file__).parents[2] / "docs" / "findings.md").read_text()
    flat = " ".join(text.split())
    for declared in CLAIMS.values():
        assert f"| {declared.id} |" in text
        assert declared.comparison in flat, declared.id
    for word, meaning in WORDS.items():
        assert f"**{word}**: {meaning}" in flat, word
    assert f"{LEVEL:.0%}".replace("%", " %") in text


def test_the_example_of_the_docs_works():
    text = (Path(__file__).parents[2] / "docs" / "findings.md").read_text()
    code = text.split("## A claim of your own")[1].split("```python\n")[1].split("@pytest.mark")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    made = Made("flux", lambda stack, span, strategy: 0.3 if span.first == 0 else 0.01)
    assert judge(names["last_single"], made).verdict is ClaimVerdict.SUPPORTED
