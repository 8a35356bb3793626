"""Figures as properties of a test."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.report.junit import properties
from harness.results.latency import ImageTime
from tests.helpers.records import latency, quality, raised


def test_a_quality_test_has_every_figure_and_what_its_gates_were_compared_with():
    told = dict(properties(quality("skip", 0.123456789)))
    assert told == {
        "case": "m-s-skip",
        "verdict": "ok",
        "harm": "0.123457",
        "seed_sd": "1",
        "collapsed": "0",
        "clip_delta": "-0.123457",
        "images": "16",
        "harm.baseline": "0.1",
        "harm.tolerance": "0.05",
    }


def test_a_latency_test_has_its_times():
    record = latency("skip", 1.25)
    told = dict(properties(record))
    assert told["speed_up"] == "1.25"
    assert told["relative_time"] == "0.8"
    assert (told["speed_up_low"], told["speed_up_high"]) == ("1.15", "1.35")
    assert told["theoretical_speed_up"] == "1.3"
    one = replace(record.latency, control=(2.0,), variant=(1.0,), batch=1, image=ImageTime(1.0, 4))
    imaged = replace(record, latency=one)
    assert dict(properties(imaged))["image_speed_up"] == "1.8"


def test_what_measured_nothing_has_none_and_no_number_is_a_word():
    assert properties(raised(quality("skip", 0.5), "TypeError: x")) == []
    assert dict(properties(quality("skip", math.nan)))["harm"] == "nan"
