"""Tolerances: the last that matches wins, and wrong ones are named."""

from __future__ import annotations

import pytest

from harness.errors import BaselineError
from harness.gates.tolerances import Tolerance, load_tolerances, tolerance_for

CASE = "flux-tiny-double-L01-skip"


def test_the_last_matching_tolerance_wins():
    several = [
        Tolerance("*", "harm", 1, 0, "a"),
        Tolerance("flux-*", "harm", 2, 0, "b"),
        Tolerance("sd3-*", "harm", 3, 0, "c"),
    ]
    found = tolerance_for(several, CASE, "harm")
    assert found is not None
    assert found.source == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[tolerance]", "can't be read"),
        ("[tolerances]\nx = 1", "only \\[\\[tolerance\\]\\] tables"),
        ('[[tolerance]]\npattern = "*"\n', "entry 1 is wrong: metric is missing"),
        (
            '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolut = 1\n',
            "entry 1 is wrong: absolut is unknown; the fields are pattern, metric, absolute, relative, why",
        ),
        (
            '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = -1\n',
            "absolute is -1, not a number from 0 upwards",
        ),
        ('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = nan\n', "absolute is nan, not a finite number"),
        ('[[tolerance]]\npattern = 3\nmetric = "harm"\n', "pattern is 3, not a text"),
        ("tolerance = [1]\n", "entry 1 is wrong: it is 1, not an object"),
    ],
)
def test_wrong_tolerances_are_named(tmp_path, text, message):
    path = tmp_path / "tolerances.toml"
    path.write_text(text)
    with pytest.raises(BaselineError, match=message):
        load_tolerances(path)
