"""The tables of docs/search.md."""

from __future__ import annotations

from harness.report.regret_page import page
from harness.search.selectors import SELECTORS
from tests.helpers.truths import table


def test_every_selector_has_a_row_and_the_wrongly_ordered_pair_is_shown():
    lines = page([table({"double": 2, "single": 4})], seeds=2).splitlines()
    assert [line.split(" | ")[1] for line in lines[2 : 2 + len(SELECTORS)]] == list(SELECTORS)
    better, worse = (line.strip("| ").split(" | ") for line in lines[-2:])
    assert float(better[2]) > float(worse[2])
    assert float(better[3]) < float(worse[3])
