"""Rankings in a Python session: printed, shown in a notebook, as a frame."""

from __future__ import annotations

import pickle
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness import rank
from harness.errors import HarnessError
from harness.report.ranking_table import columns_of
from harness.report.rankings import PrintedRanking, Rankings
from harness.results import ranking
from tests.helpers.records import latency, quality, raised

RECORDS = [quality("skip", 0.5), quality("parallel", 1.5), latency("skip", 1.2)]


class Table(HTMLParser):
    """The texts of a page by tag; every tag that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts = [], {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]][-1] += data


def test_the_repr_is_one_short_line():
    rankings = rank(RECORDS)
    summary = "m, 2 variants by harm over 16 prompts, first s-skip"
    assert repr(rankings) == f"<1 ranking: {summary}>"
    assert repr(rankings[0]) == f"<Ranking {summary}>"
    assert repr(rank([])) == "<0 rankings>"
    assert repr(rank([raised(quality("skip", 0.5), "boom")])) == "<1 ranking: m, no variants>"
    timed = replace(RECORDS[2], fingerprint=replace(RECORDS[2].fingerprint, judge=""))
    assert repr(rank([timed])[0]) == "<Ranking m, 1 variant by speed-up, first s-skip>"


def test_each_ranking_prints_as_its_table():
    other = replace(quality("skip", 0.7), checkpoint="n")
    rankings = rank([*RECORDS, other])
    assert isinstance(rankings, Rankings)
    assert [r.checkpoint for r in rankings] == ["m", "n"]
    first, second = map(str, rankings)
    assert first.startswith("what can go: m (16 prompts, timed in batches of 8)")
    assert "\nleast harmful variant: m (16 prompts, timed in batches of 8)" in first
    assert "s-L01-03-parallel" in first
    assert second.startswith("what can go: n (16 prompts)")
    assert str(rankings) == f"{first}\n{second}"


def test_a_notebook_shows_an_escaped_table():
    bad = replace(quality("<b>", 0.5), checkpoint="a<script>")
    text = rank([bad])._repr_html_()
    assert "<script>" not in text
    assert "<b></td>" not in text
    table = Table(text)
    (ranking_,) = rank([bad])
    assert table.texts["th"] == [column.heading for column in columns_of(ranking_)]
    assert len(table.texts["tr"]) == 2
    assert "s-L01-03-<b>" in table.texts["td"]
    assert table.texts["b"] == ["least harmful variant: a<script> (16 prompts)"]
    assert ranking_._repr_html_() == text
    assert rank([])._repr_html_() == ""
    nothing = rank([raised(quality("skip", 0.5), "boom & bust")])._repr_html_()
    assert "<table>" not in nothing
    assert "boom &amp; bust" in nothing


def test_a_frame_has_a_row_a_variant():
    rankings = rank([*RECORDS, replace(quality("skip", 0.7), checkpoint="n")])
    frame = rankings.to_frame()
    assert list(frame["checkpoint"]) == ["m", "m", "n"]
    assert list(frame["case"]) == ["m-s-skip", "m-s-parallel", "m-s-skip"]
    assert frame["speed_up"].iloc[0] == 1.2
    assert frame["harm"].round(6).tolist() == [0.5, 1.5, 0.7]
    assert rankings[0].to_frame().equals(frame[frame["checkpoint"] == "m"][rankings[0].to_frame().columns])


def test_a_printed_ranking_is_the_ranking():
    (plain,) = ranking.rank(RECORDS)
    printed = PrintedRanking.of(plain)
    assert vars(printed) == vars(plain)
    assert isinstance(printed, ranking.Ranking)
    assert pickle.loads(pickle.dumps(printed)) == printed


def test_a_ranking_draws_harm_against_speed_up_or_what_there_is():
    (both,) = rank(RECORDS)
    assert "harm against speed-up" in both.plot().texts[0].get_text()
    (harm,) = rank([RECORDS[0], RECORDS[1]])
    assert harm.plot().axes[0].get_title(loc="left") == "m, by harm"
    judgeless = replace(RECORDS[2], fingerprint=replace(RECORDS[2].fingerprint, judge=""))
    (timed,) = rank([judgeless])
    assert timed.plot().axes[0].get_title(loc="left") == "m, by speed-up"
    many = [quality(f"x{i}", float(i)) for i in range(70)]
    assert rank(many)[0].plot().axes[0].get_title(loc="left") == "m, by harm, the first 60 of 70"
    (nothing,) = rank([raised(quality("skip", 0.5), "boom")])
    with pytest.raises(HarnessError, match="m has no variant with a harm or a speed-up to plot"):
        nothing.plot()
