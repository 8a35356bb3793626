"""The page of a history: its answers stand in the text, its data are whole, and nothing in a name becomes HTML."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from harness.report.html.history_page import history_page
from harness.results.history import History
from harness.results.make_history import history, read_runs
from tests.helpers.nights import name, write_nights

HOSTILE = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """The tags of a page, and the texts of the cells of its tables."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self._cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in {"td", "th"}:
            self.cells.append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in {"td", "th"}:
            self._cell = False

    def handle_data(self, data):
        if self._cell:
            self.cells[-1] += data.strip()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = write_nights(tmp_path_factory.mktemp("reports"), count=8, step=5, cases=("skip", HOSTILE))
    return history(read_runs([folder], pytest.fail))


def test_it_answers_since_when_without_a_script(whole):
    page = Page(history_page(whole))
    row = page.cells.index("m-s-skip")
    since, before = f"{name(5)} (2026-11-06 03:00)", f"{name(4)} (2026-11-05 03:00)"
    assert page.cells[row : row + 5] == ["m-s-skip", "regression", since, before, "diffusers 0.41.0 -> 0.42.1"]
    change = page.cells.index(since, row + 5)
    assert "m-s-" in page.cells[change + 1]
    assert "worse" in page.cells[change : change + 5]


def test_its_data_are_those_of_the_json_and_links_name_a_series(whole):
    text = history_page(whole)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["runs"]) == 8
    assert [s["case"] for s in data["series"]] == [s.case for s in whole.series]
    harm = next(s for s in data["series"] if s["case"] == "m-s-skip" and s["name"].startswith("harm"))
    assert harm["run"] == list(range(8))
    assert harm["changes"] == [[5, "worse"]]
    assert harm["red"] == [False] * 5 + [True] * 3
    linked = {int(n) for n in re.findall(r'href="#series-(\d+)"', text)}
    assert {whole.series[n].figure for n in linked} == {"harm"}


def test_a_hostile_name_stays_a_text_and_nothing_is_fetched(whole):
    text = history_page(whole)
    page = Page(text)
    assert [attributes for tag, attributes in page.tags if tag == "img"] == []
    assert any(HOSTILE in cell for cell in page.cells)
    fetched = [
        v for _, a in page.tags for n, v in a.items() if n in {"src", "href"} and v and not v.startswith(("#", "data:"))
    ]
    assert fetched == []


def test_where_nothing_is_red_or_changed_the_page_says_so(whole):
    text = history_page(History(whole.runs, (), ()))
    assert "Nothing is red in the last run." in text
    assert "No figure changed beyond its noise." in text
