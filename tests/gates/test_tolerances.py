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
        ('[[tolerance]]\npattern = "*"\n', "entry 1 is wrong: KeyError\\('metric'\\)"),
        ('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolut = 1\n', "unknown key absolut"),
        ('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = -1\n', "not negative"),
        ('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = nan\n', "no number"),
    ],
)
def test_wrong_tolerances_are_named(tmp_path, text, message):
    path = tmp_path / "tolerances.toml"
    path.write_text(text)
    with pytest.raises(BaselineError, match=message):
        load_tolerances(path)
