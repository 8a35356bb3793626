"""Records survive the journal; a journal cut off in flight loses one line; ranking is a function of records."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, JournalError
from harness.report import write
from harness.report.ranking_page import markdown
from harness.report.ranking_table import HEAD, cells
from harness.report.ranking_terminal import render
from harness.results.fingerprint import Fingerprint
from harness.results.journal import FILE, Journal, latest, read
from harness.results.ranking import rank
from harness.results.records import Check, Latency, Measurement, Record, Status, Verdict, from_json
from tests.helpers import hostile

FINGERPRINT = Fingerprint(
    checkpoint="m",
    weights="w",
    judge="j",
    prompts="p",
    sampling={"steps": 4, "guidance": 0.0},
    device="cpu",
    dtype="float32",
    capability="AVX512",
    threads=2,
    versions={"torch": "2.15.0"},
)
PROMPTS = 16


def quality(name, harm, *, collapsed=0, stack="s", words=("middle",), spread=0.3, status=Status.OK):
    rng = np.random.default_rng(sum(map(ord, name)))
    values = harm + spread * rng.normal(size=PROMPTS)
    values += harm - values.mean()
    return Record(
        kind="quality",
        case=f"m-{stack}-{name}",
        nodeid=f"t.py::t[m-{stack}-{name}]",
        checkpoint="m",
        stack=stack,
        place="L01-03",
        strategy=name,
        plan="0 (1|2) 3",
        words=words,
        fingerprint=FINGERPRINT,
        verdict=Verdict(status, (Check("harm", harm, 0.1, 0.05, status, "t"),)),
        measurement=Measurement(
            n=PROMPTS,
            prompts=PROMPTS,
            values={"harm": tuple(values)},
            summary={"harm": harm, "seed_sd": 1.0, "collapsed": float(collapsed), "clip_delta": -harm},
        ),
    )


def latency(name, ratio, stack="s"):
    record = quality(name, 0, stack=stack)
    times = Latency((1.0,), (1.0 / ratio,), 8, ratio, ratio - 0.1, ratio + 0.1, 1.3)
    return replace(record, kind="latency", measurement=None, latency=times)


def test_a_record_reads_back():
    for record in (quality("skip", 0.5), latency("skip", 1.2)):
        assert from_json(json.loads(json.dumps(record.to_json()))) == record


@given(st.floats())
def test_numbers_survive(value):
    record = quality("skip", 0.5)
    record = replace(record, measurement=replace(record.measurement, summary={"x": value}))
    again = from_json(json.loads(json.dumps(record.to_json(), allow_nan=False)))
    assert again.measurement.summary["x"] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema=0), "record has schema 0, this version reads 1"),
        (lambda d: d.pop("case"), "record.case is missing"),
        (lambda d: d.update(words="x"), "record.words is 'x', not a list"),
        (lambda d: d["verdict"].update(status="fine"), "record.verdict.status is 'fine', not one of ok, did nothing"),
        (lambda d: d["measurement"].update(n=None), "record.measurement.n is None, not a whole number"),
        (lambda d: d.update(fingerprint=3), "record.fingerprint is 3, not an object"),
    ],
)
def test_what_is_no_record_is_named(change, message):
    data = quality("skip", 0.5).to_json()
    change(data)
    with pytest.raises(ValueError, match=message):
        from_json(data)


@given(hostile.documents(quality("skip", 0.5).to_json()))
def test_any_data_is_a_record_or_refused(data):
    said = "record"
    try:
        assert isinstance(from_json(data), Record)
    except DataError as error:
        said = str(error)
    assert said.startswith("record")


@given(hostile.texts(quality("skip", 0.5).to_json()))
def test_any_line_of_a_journal_is_a_record_or_named(tmp_path_factory, line):
    path = tmp_path_factory.mktemp("run") / FILE
    path.write_text(line.replace("\n", " ") + "\n", encoding="utf-8", errors="surrogatepass")
    said = f"{path} line 1"
    try:
        assert len(read(path.parent)) <= 1
    except JournalError as error:
        said = str(error)
    assert str(path) in said


def test_a_journal_cut_off_in_flight_loses_one_line(tmp_path):
    journal = Journal(tmp_path)
    for name in ("skip", "reverse", "repeat"):
        journal.append(quality(name, 0.5))
    journal.close()
    whole = journal.path.read_text()
    journal.path.write_text(whole[:-30])
    assert [r.strategy for r in read(tmp_path)] == ["skip", "reverse"]
    lines = whole.splitlines(keepends=True)
    journal.path.write_text(lines[0] + lines[1][:50] + "\n" + lines[2])
    with pytest.raises(JournalError, match="line 2 is no record"):
        read(tmp_path)


def test_journals_that_are_not_there(tmp_path):
    with pytest.raises(JournalError, match="no journal in"):
        read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="can't write the journal"):
        Journal(tmp_path / "file" / "run")


def test_the_last_record_of_a_rerun_wins():
    first, again = quality("skip", 0.5), quality("skip", 0.7)
    assert latest([first, quality("repeat", 1.0), again]) == [again, quality("repeat", 1.0)]


def test_least_harmful_first_and_collapsed_last():
    blank = quality("c", 0.0, collapsed=PROMPTS - 1)
    one_blank = quality("e", 0.5, collapsed=1)
    (ranking,) = rank([quality("a", 2.0), quality("b", 0.1), blank, quality("d", 1.0), one_blank])
    assert [row.strategy for row in ranking.rows] == ["b", "e", "d", "a", "c"]
    assert [row.tier for row in ranking.rows] == [1, 2, 3, 4, 5]
    assert ranking.rows[0].rank_low == ranking.rows[0].rank_high == 1


def test_pareto_marks_what_no_other_beats_on_both():
    records = [quality(n, h) for n, h in (("a", 0.1), ("b", 0.5), ("c", 0.6), ("d", 0.05))]
    records += [latency(n, r) for n, r in (("a", 1.1), ("b", 1.5), ("c", 1.2))]
    (ranking,) = rank(records)
    assert {row.strategy for row in ranking.rows if row.pareto} == {"a", "b"}


def test_strategies_are_summed_up_within_equal_ranges():
    records = [
        quality("shuffle.s0", 0.2),
        quality("shuffle.s1", 0.4),
        quality("shuffle.s2", 0.9),
        quality("skip", 0.1, words=("first",)),
    ]
    (ranking,) = rank(records)
    assert [(g.depth, g.strategy, g.cases, g.harm) for g in ranking.groups] == [
        ("first", "skip", 1, pytest.approx(0.1)),
        ("middle", "shuffle", 3, pytest.approx(0.4)),
    ]


def test_a_quick_run_among_full_ones_is_left_out():
    small = quality("x", 0.1)
    small = replace(small, measurement=replace(small.measurement, prompts=4, n=4, values={"harm": (0.1,) * 4}))
    (ranking,) = rank([quality("a", 0.3), small])
    assert [row.strategy for row in ranking.rows] == ["a"]


def test_checkpoints_are_ranked_apart():
    other = replace(quality("a", 0.3), checkpoint="n", case="n-s-a")
    assert [r.checkpoint for r in rank([quality("a", 0.1), other])] == ["m", "n"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal(width):
    text = render([quality("skip", 0.5), quality("parallel", 1.5), latency("skip", 1.2)], width, colour=False)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "least harmful variant: m" in text
    assert ("plan" in text) == (width == 200)


def test_what_was_not_measured_is_a_dash():
    (ranking,) = rank([quality("skip", 0.5)])
    row = dict(zip(HEAD, cells(ranking.rows[0]), strict=True))
    assert row["speed-up"] == row["FID/null"] == row["checker"] == "-"


def test_bars_in_plans_do_not_end_a_markdown_cell():
    records = [quality("parallel", 0.5)]
    lines = markdown(records, rank(records)).splitlines()
    (row,) = (line for line in lines if "s-L01-03-parallel" in line)
    assert row.replace("\\|", "").count("|") == len(HEAD) + 1


def test_reports_are_the_same_for_the_same_records(tmp_path):
    records = [quality("a", 0.5), quality("b", 0.7), latency("a", 1.3)]
    first = {p.name: p.read_bytes() for p in write(tmp_path / "1", records)}
    again = {p.name: p.read_bytes() for p in write(tmp_path / "2", list(records))}
    assert first == again
    assert set(first) == {"ranking.md", "ranking.csv", "ranking.json"}


def test_no_records_no_reports(tmp_path):
    assert write(tmp_path, []) == []
