"""What follows from timed pairs: the relative time, and the time of an image; and which numbers are no timing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from harness.errors import DataError
from harness.results.latency import ImageTime, Latency, check_latency

TIMED = Latency((4.0, 8.0, 6.0), (2.0, 4.0, 3.0), 2, ratio=2.0, low=1.6, high=2.5, theory=2.5)


def test_the_relative_time_is_one_over_the_speed_up_and_its_ends():
    assert TIMED.relative_time == (0.5, 0.4, 0.625)
    assert replace(TIMED, low=0.0).relative_time.high == math.inf


def test_an_images_time_is_its_forwards_and_what_is_outside_of_them():
    timed = replace(TIMED, image=ImageTime(outside=1.0, forwards=4))
    assert timed.control_image_seconds == 1.0 + 4 * 6.0 / 2
    assert timed.image_seconds == 1.0 + 4 * 3.0 / 2
    assert timed.image_speed_up == 13 / 7


def test_without_images_there_is_no_time_of_one():
    assert TIMED.control_image_seconds is TIMED.image_seconds is TIMED.image_speed_up is None
    none_timed = replace(TIMED, control=(), variant=(), image=ImageTime(1.0, 4))
    assert none_timed.control_image_seconds is none_timed.image_speed_up is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ratio": 0.0}, "a speed-up of 0.0"),
        ({"high": 1.0}, "a speed-up of 2.0"),
        ({"variant": (0.0,)}, "no number of seconds above 0"),
        ({"image": ImageTime(math.inf, 4)}, "which is no time of an image"),
    ],
)
def test_numbers_that_are_no_timing_are_refused(changed, message):
    check_latency(TIMED)
    with pytest.raises(DataError, match=message):
        check_latency(replace(TIMED, **changed))
