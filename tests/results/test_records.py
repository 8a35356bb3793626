"""Records survive the journal; a journal cut off in flight loses one line; ranking is a function of records."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.grid import Ask, expand
from harness.ablation.guidance import GuidancePass
from harness.errors import DataError
from harness.results.records import Kind, Record, Status, Verdict, from_json
from tests.helpers import hostile
from tests.helpers.records import latency, quality


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
        (
            lambda d: d["verdict"].update(status="fine"),
            "record.verdict.status is 'fine', not one of error, ok, did nothing",
        ),
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


STACKS = {"double": 6, "single": 12}


def test_records_hold_the_pass_and_old_ones_still_read():
    (case,) = expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], passes=[GuidancePass.CONDITIONAL])
    record = Record.of(case, Kind.QUALITY, quality("skip", 0.5).fingerprint, Verdict(Status.OK))
    assert record.to_json()["guidance_pass"] == "cond"
    assert from_json(json.loads(json.dumps(record.to_json()))) == record
    old = record.to_json()
    del old["guidance_pass"]
    assert from_json(old).guidance_pass is None


def test_records_hold_the_window_and_old_ones_still_read():
    (case,) = expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], windows=[(0, 1)], steps=4)
    record = Record.of(case, Kind.QUALITY, quality("skip", 0.5).fingerprint, Verdict(Status.OK))
    assert record.window == (0, 1)
    assert from_json(json.loads(json.dumps(record.to_json()))) == record
    old = quality("skip", 0.5).to_json()
    del old["window"]
    assert from_json(old).window is None
    with pytest.raises(ValueError, match="window has 1 entries, not 2"):
        from_json({**record.to_json(), "window": [0]})


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("measurement", {"prompts": 5}, "has 16 entries for 5 prompts"),
        ("measurement", {"prompts": 0}, "is of 16 images and 0 prompts"),
        ("measurement", {"n": -1}, "is of -1 images"),
        ("latency", {"ratio": 0.0}, "a speed-up of 0.0"),
        ("latency", {"ratio": "nan"}, "a speed-up of nan"),
        ("latency", {"low": -1.0}, "a speed-up of 1.3"),
        ("latency", {"high": 1.0}, "a speed-up of 1.3"),
        ("latency", {"ratio": 1e200, "high": 1e300}, "a speed-up of 1e+200"),
        ("latency", {"variant": [0.0]}, "has a time of a forward that is no number of seconds above 0"),
        ("latency", {"control": ["nan"]}, "has a time of a forward that is no number of seconds above 0"),
        ("latency", {"image": {"outside": -1.0, "forwards": 4}}, "has -1.0 s outside 4 forwards, which is no time"),
        ("latency", {"image": {"outside": "inf", "forwards": 4}}, "has inf s outside 4 forwards, which is no time"),
        ("latency", {"image": {"outside": 1.0, "forwards": 0}}, "has 1.0 s outside 0 forwards, which is no time"),
        ("measurement", {"n": 10**400}, "and 16 prompts"),
        ("measurement", {"values": {"harm": [-1e300] * 16}}, "measurement.values.'harm' has -1e+300, which is larger"),
    ],
)
def test_numbers_that_do_not_fit_together_are_no_record(kind, change, said):
    data = (latency("skip", 1.3) if kind == "latency" else quality("skip", 0.5)).to_json()
    data[kind] |= change
    with pytest.raises(DataError, match=re.escape(said)):
        from_json(data)
