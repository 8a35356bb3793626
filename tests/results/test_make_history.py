"""From journals to a history: the night of a step, what differs then, since when a case is red."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.errors import JournalError
from harness.report.history_text import lines
from harness.report.ranking_data import finite
from harness.results.history import Run, to_json
from harness.results.make_history import history, read_runs
from harness.results.records import Check, Kind, Status, Subset, Verdict, from_json
from harness.results.run_date import DatedBy, RunDate
from tests.helpers import hostile
from tests.helpers.nights import SPEED_UP, name, night_records, write_nights
from tests.helpers.records import quality


def made(nights):
    """A history of records by night."""
    return history(
        [Run(name(i), RunDate(f"2026-11-{i + 1:02d}", DatedBy.NAME), tuple(r)) for i, r in enumerate(nights)]
    )


def series_of(whole, figure, case="m-s-skip"):
    (series,) = (s for s in whole.series if s.figure == figure and s.case == case)
    return series


def test_a_step_is_found_at_its_night_with_the_version_that_differs(tmp_path):
    runs = read_runs([write_nights(tmp_path, count=20, step=12, cases=("skip", "reverse"))], pytest.fail)
    whole = history(runs)
    assert [run.name for run in runs] == [name(i) for i in range(20)]
    assert [(s.case, s.figure, c.run, c.before_run) for s, c in whole.changes] == [
        ("m-s-reverse", "harm", 12, 11),
        ("m-s-skip", "harm", 12, 11),
    ]
    (change,) = series_of(whole, "harm").changes
    assert (change.before, change.after) == (pytest.approx(2.0, abs=0.02), pytest.approx(3.0, abs=0.02))
    assert change.better is False
    assert change.differs == ("diffusers 0.41.0 -> 0.42.1",)
    assert [(red.case, red.since, red.green, red.differs) for red in whole.red] == [
        ("m-s-reverse", 12, 11, change.differs),
        ("m-s-skip", 12, 11, change.differs),
    ]


def test_noise_alone_is_no_change():
    """Forty histories of twelve nights and nine series: a change in five of a hundred would be two."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        alarms += bool(made([night_records(rng, cases=("a", "b", "c")) for _ in range(12)]).changes)
    assert alarms <= 6


def test_a_faster_variant_is_better_and_one_slow_night_is_nothing():
    rng = np.random.default_rng(1)
    ratios = [SPEED_UP] * 8 + [1.5] * 8
    ratios[3] = 1.0  # a busy machine
    whole = made([night_records(rng, ratio=ratio) for ratio in ratios])
    (change,) = series_of(whole, "speed_up").changes
    assert (change.run, change.better) == (8, True)
    assert change.after == pytest.approx(1.5, rel=0.05)
    low, high = series_of(whole, "speed_up").band(1.5)
    assert SPEED_UP < low < 1.5 < high < 1.8


def with_tolerance(record, tolerance, source):
    value = record.measurement.summary["harm"]
    return replace(record, verdict=Verdict(Status.OK, (Check("harm", value, 2.0, tolerance, Status.OK, source),)))


@pytest.mark.parametrize(
    ("source", "tolerance", "found"),
    [("tolerances.toml", 0.5, True), ("tolerances.toml", 2.0, False), ("noise floor", 0.6, True)],
)
def test_a_step_within_what_is_stored_is_no_change(source, tolerance, found):
    rng = np.random.default_rng(2)
    nights = [night_records(rng, harm=2.0 if i < 6 else 3.0) for i in range(12)]
    nights = [[with_tolerance(r, tolerance, source) if r.kind is Kind.QUALITY else r for r in mine] for mine in nights]
    series = series_of(made(nights), "harm")
    assert bool(series.changes) == found
    assert (series.reach, series.reach_source) == (tolerance, source)
    assert series.band(2.0) == (2.0 - tolerance, 2.0 + tolerance)


def test_a_noise_floor_lets_three_nights_tell_a_change():
    rng = np.random.default_rng(3)
    nights = [night_records(rng, harm=harm, noise=0.001) for harm in (2.0, 2.0, 4.0)]
    assert made(nights).changes == []  # nothing says what the noise is
    nights = [
        [with_tolerance(r, 0.06, "noise floor") if r.kind is Kind.QUALITY else r for r in mine] for mine in nights
    ]
    assert [change.run for _, change in made(nights).changes] == [2]


def test_red_since_counts_from_the_last_time_that_it_was_not():
    rng = np.random.default_rng(4)
    statuses = [Status.REGRESSION, Status.OK, Status.REGRESSION, Status.STALE]
    whole = made([night_records(rng, status=status) for status in statuses])
    (red,) = whole.red
    assert (red.since, red.green, red.status) == (2, 1, Status.STALE)
    (red,) = made([night_records(rng, status=Status.REGRESSION) for _ in range(3)]).red
    assert (red.since, red.green) == (0, None)
    assert made([night_records(rng, status=status) for status in reversed(statuses[:2])][::-1]).red == ()
    # A case that the last run left out is not red now.
    gone = made([night_records(rng, status=Status.REGRESSION, cases=("a", "b")), night_records(rng, cases=("b",))])
    assert gone.red == ()


def test_other_prompts_or_devices_are_other_series_and_versions_are_not():
    rng = np.random.default_rng(5)
    nights = [night_records(rng, version=f"0.4{i}.0") for i in range(6)]
    moved = [[replace(r, fingerprint=replace(r.fingerprint, device="cuda-x")) for r in mine] for mine in nights]
    whole = made([[*a, *b] for a, b in zip(nights, moved, strict=True)])
    harms = [s for s in whole.series if s.figure == "harm"]
    assert [len(s.points) for s in harms] == [6, 6]
    assert {s.apart.partition(",")[0] for s in harms} == {"cpu", "cuda-x"}


def test_what_an_adaptive_run_measured_on_some_prompts_is_left_out():
    record = quality("skip", 1.0)
    partial = replace(record, measurement=replace(record.measurement, subset=Subset(tuple(range(16)), 64)))
    assert made([[record], [partial]]).series[0].points[-1].run == 0


def test_the_interval_of_harm_and_drift_is_over_prompts():
    record = quality("skip", 1.0)
    values = {**record.measurement.values, "latent": tuple(np.linspace(0.1, 0.3, 16))}
    summary = {**record.measurement.summary, "latent_drift": 0.5}
    whole = made([[replace(record, measurement=replace(record.measurement, values=values, summary=summary))]])
    harm, drift = (series_of(whole, figure).points[0] for figure in ("harm", "latent_drift"))
    assert harm.low < 1.0 < harm.high
    half = stats.t.ppf(0.975, 15) * np.std(values["latent"], ddof=1) / 4 / 0.4  # a reseed is 0.4 away
    assert (drift.low, drift.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_the_json_holds_what_the_page_shows(tmp_path):
    plain = to_json(history(read_runs([write_nights(tmp_path, count=8, step=4)], pytest.fail)))
    plain = json.loads(json.dumps(plain))
    assert plain["schema"] == 1
    assert plain["runs"][4] == {
        "name": name(4),
        "date": "2026-11-05 03:00",
        "dated_by": "name",
        "versions": {"diffusers": "0.42.1", "torch": "2.15.0"},
        "machines": ["AVX512"],
    }
    (harm,) = (s for s in plain["series"] if s["figure"] == "harm")
    assert [run for run, *_ in harm["points"]] == list(range(8))
    assert [run for run, *_ in harm["levels"]] == [0, 4]
    assert harm["changes"][0]["differs"] == ["diffusers 0.41.0 -> 0.42.1"]
    assert plain["red"][0]["status"] == "regression"


def test_runs_are_read_from_folders_files_and_folders_of_folders(tmp_path):
    write_nights(tmp_path / "reports", count=3)
    last = tmp_path / "reports" / name(2)
    said = []
    one = read_runs([last / "shard-1-of-1.jsonl", tmp_path / "reports" / name(0), last], said.append)
    assert [run.name for run in one] == [name(0), name(2), name(2)]
    listed = read_runs([last, tmp_path / "reports" / name(0)], said.append, as_listed=True)
    assert [run.name for run in listed] == [name(2), name(0)]
    (tmp_path / "reports" / "broken").mkdir()
    (tmp_path / "reports" / "broken" / "shard-1-of-1.jsonl").write_text("{}\n")
    assert len(read_runs([tmp_path / "reports"], said.append)) == 3
    assert len(said) == 1
    assert "line 1 is no record" in said[0]
    with pytest.raises(JournalError, match="no run in"):
        read_runs([tmp_path / "nothing"], said.append)
    with pytest.raises(JournalError, match="no run could be read"):
        read_runs([tmp_path / "reports" / "broken"], said.append)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2), st.integers(0, 5), st.data())
def test_a_hostile_record_costs_no_traceback(line, night, data):
    """Whatever the journal's reader takes, the history of it can be made, and written as JSON."""
    rng = np.random.default_rng(0)
    nights = [night_records(rng) for _ in range(6)]
    try:
        nights[night][line] = from_json(data.draw(hostile.altered(nights[night][line].to_json())))
    except ValueError:
        return
    whole = made(nights)
    json.dumps(finite(to_json(whole)), allow_nan=False)
    assert len(lines(whole)) >= 3
