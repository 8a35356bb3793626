"""Whatever a journal holds, the commands that read one rank it, leave records out, or refuse it in one line."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli.main import main
from harness.findings.claim import ClaimVerdict, Finding
from harness.results.journal import FILE, Journal, write_journal
from harness.results.latency import ImageTime
from harness.results.records import Measurement, Record, Status, Verdict
from tests.helpers import hostile
from tests.helpers.records import FINGERPRINT, latency, quality, raised

TOLERANCES = Path(__file__).parents[2] / "baselines" / "tolerances.toml"


def journal():
    """A control, variants with and without tasks, a timing and a test that raised."""
    scores = {"score": tuple(float(i % 7) for i in range(32))}
    texts, categories = tuple(f"p{i}" for i in range(16)), ("a", "b") * 8
    control = Measurement(32, 16, scores, {"seed_sd": 1.0, "score": 3.0}, texts=texts, categories=categories)
    timed = latency("skip", 1.3)
    timed = replace(timed, latency=replace(timed.latency, image=ImageTime(0.5, 4)))
    records = [Record.of_control(FINGERPRINT, Verdict(Status.OK), control), quality("skip", 0.5), timed]
    return [r.to_json() for r in (*records, quality("reverse", 1.5), raised(quality("swap", 1.0), "TypeError: x"))]


def said(*arguments):
    """The exit code of a command, and all that it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 4), st.data())
def test_a_damaged_or_hostile_record_costs_no_traceback_and_no_other_record(tmp_path_factory, place, data):
    run = tmp_path_factory.mktemp("run")
    lines = journal()
    lines[place] = data.draw(hostile.altered(lines[place]))
    (run / FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for command in (
        ("report", run),
        ("compare", run, run, "--all", "--tolerances", TOLERANCES),
        ("upgrade", f"a={run}", f"b={run}", "--every", run / "every.md", "--tolerances", TOLERANCES),
        ("false-reds", run),
    ):
        code, text = said(*command)
        assert code in (0, 4)
        assert not {c for c in text if not c.isprintable()} - {"\n"}
        if code == 4:
            *_, last = text.splitlines()
            assert last.startswith("error: ")
            assert len(last) < 720
    assert said("report", run)[0] == 0  # four records are sound


@pytest.mark.parametrize(
    "line", ["null", "5", "[]", "{}", "[" * 50_000, "9" * 5000, '{"schema": 1e999}', "\0"], ids=lambda text: text[:9]
)
def test_what_is_no_record_is_left_out_with_a_warning(tmp_path, line):
    with_it = Journal(tmp_path)
    with_it.append(quality("skip", 0.5))
    with_it.close()
    with with_it.path.open("a") as stream:
        stream.write(line + "\n")
    code, text = said("report", tmp_path)
    assert code == 0
    assert text.startswith(f"warning: left out of {with_it.path}: line 2 is no record: ")
    assert "least harmful variant: m" in text


def test_a_run_that_measured_nothing_says_so(tmp_path):
    Journal(tmp_path).close()
    assert said("report", tmp_path) == (
        0,
        f"nothing to rank: {tmp_path} has 0 records, and none of a variant's images or time\n",
    )


def test_a_run_of_claims_alone_has_its_table_and_page_made_again(tmp_path):
    Journal(tmp_path).close()
    finding = Finding("X1", "it can go", "our notes", "m", ClaimVerdict.NOT_APPLICABLE, (), "about another model")
    (tmp_path / "findings.jsonl").write_text(json.dumps(finding.to_json()) + "\n")
    code, text = said("report", tmp_path)
    assert code == 0
    assert text.startswith("published claims, on m: 1 not applicable ")
    assert text.endswith(f"wrote {tmp_path}/index.html\nwrote {tmp_path}/findings.md\n")
    assert "about another model" in (tmp_path / "findings.md").read_text()
    (tmp_path / "findings.jsonl").write_text("{}\n")
    code, text = said("report", tmp_path)
    assert code == 0
    assert f"warning: can't read {tmp_path}/findings.jsonl: finding.claim is missing" in text


def test_columns_are_asked_for_as_of_pytest(tmp_path):
    write_journal(tmp_path / "r", [quality("skip", 0.5), quality("reverse", 1.5)])
    code, text = said("report", tmp_path / "r")
    assert code == 0
    assert "more columns, by `report --columns` or in ranking.md: plan, harm [sd]" in text
    code, text = said("report", tmp_path / "r", "--columns", "plan,harm")
    assert code == 0
    assert "0 (1|2) 3" in text
    assert "more columns" not in text
    code, text = said("report", tmp_path / "r", "--columns", "chekcer")
    assert (code, len(text.splitlines())) == (4, 1)
    assert text.startswith("error: --columns: there is no column 'chekcer' (did you mean 'checker'?); there are all, ")
    code, text = said("report", tmp_path / "r", tmp_path / "r", "--columns=all")
    assert (code, text.startswith("error: --columns goes with one run")) == (4, True)


def test_several_runs_are_each_reported_and_then_side_by_side(tmp_path):
    for name, harm in (("monday", 0.5), ("tuesday", 0.75)):
        write_journal(tmp_path / name, [quality("skip", harm)])
    code, text = said("report", tmp_path / "monday", tmp_path / "tuesday")
    assert code == 0
    for name in ("monday", "tuesday"):
        assert f"wrote {tmp_path / name / 'ranking.json'}" in text
        assert (tmp_path / name / "ranking.md").is_file()
    assert "m: 1 variant in 2 runs" in text
    assert "s-L01-03-skip" in text
    assert "least harmful variant" not in text  # one table, and not three
    assert {path.suffix for path in tmp_path.glob("side-by-side.*")} == {".md", ".csv", ".json", ".html"}
    out = tmp_path / "out"
    assert said("report", tmp_path / "monday" / FILE, tmp_path / "tuesday", "--out", out)[0] == 0
    (table,) = json.loads((out / "side-by-side.json").read_text())["checkpoints"]
    assert table["runs"] == ["monday", "tuesday"]


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    for folder in ("a", "b"):
        write_journal(tmp_path / folder / "nightly", [quality("skip", 0.5)])
    assert said("report", tmp_path / "a" / "nightly", tmp_path / "b" / "nightly", "--out", tmp_path)[0] == 0
    (table,) = json.loads((tmp_path / "side-by-side.json").read_text())["checkpoints"]
    assert table["runs"] == [str(tmp_path / folder / "nightly") for folder in ("a", "b")]


def test_nothing_is_written_where_one_of_the_runs_is_not_there(tmp_path):
    write_journal(tmp_path / "monday", [quality("skip", 0.5)])
    code, text = said("report", tmp_path / "monday", tmp_path / "tuseday")
    assert (code, len(text.splitlines())) == (4, 1)
    assert "no journal in" in text
    assert [path.name for path in (tmp_path / "monday").iterdir()] == [FILE]


def test_parquet_files_are_written_where_pyarrow_is(tmp_path):
    write_journal(tmp_path / "monday", [quality("skip", 0.5)])
    code, text = said("report", tmp_path / "monday")
    assert code == 0
    there = importlib.util.find_spec("pyarrow") is not None
    assert (tmp_path / "monday" / "tables" / "cases.parquet").is_file() == there
    assert ("cases.parquet" in text) == there
