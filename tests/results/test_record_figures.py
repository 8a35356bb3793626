"""The figures of a record by name."""

from __future__ import annotations

from dataclasses import replace

from harness.results.latency import ImageTime
from harness.results.record_figures import figures_of
from harness.results.records import Measurement, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, latency, quality, raised


def test_images_a_timing_a_control_and_nothing():
    assert figures_of(quality("skip", 0.5)) == {
        "harm": 0.5,
        "seed_sd": 1.0,
        "collapsed": 0.0,
        "clip_delta": -0.5,
        "images": 16.0,
    }
    timed = latency("skip", 1.25)
    assert figures_of(timed)["speed_up"] == 1.25
    assert figures_of(timed)["relative_time"] == 0.8
    assert "image_speed_up" not in figures_of(timed)
    whole = replace(timed, latency=replace(timed.latency, image=ImageTime(0.5, 4)))
    assert figures_of(whole)["image_speed_up"] == whole.latency.image_speed_up
    control = Record.of_control(FINGERPRINT, Verdict(Status.OK), Measurement(32, 16, {}, {"score": 60.0}))
    assert figures_of(control) == {"score": 60.0}
    assert figures_of(raised(quality("skip", 0.5), "boom")) == {}
