"""What -k says of tests that were never made."""

from __future__ import annotations

import pytest

from harness.plugin.keywords import may_select, unmatched

SD3 = ("test_sd3.py", "test_ablation", "sd3-tiny", "sd3")
OTHERS = ("flux-tiny", "flux", "auraflow-tiny", "auraflow")


@pytest.mark.parametrize(
    ("keyword", "answer"),
    [
        ("", True),
        ("sd3", True),
        ("SD3", True),
        ("tiny", True),
        ("test_ablation", True),
        ("flux", False),
        ("auraflow or flux", False),
        ("not flux", True),
        ("not sd3", False),
        ("plan", True),
        ("not plan", True),
        ("plan and flux", False),
        ("plan and sd3", True),
        ("sd3 and not looped", True),
        ("flux and not looped", False),
        ("(", True),  # pytest says what is wrong with it
    ],
)
def test_what_is_known_decides_and_what_is_not_known_may_be(keyword, answer):
    assert may_select(keyword, SD3, OTHERS) is answer


def test_words_that_are_in_no_name_are_answered_with_the_nearest():
    names = ["flux-tiny-double-L01-03-skip", "middle", "test_ablation[x]"]
    assert unmatched("doubel and (skip or not middle)", names) == ["'doubel' (did you mean 'double'?)"]
    assert unmatched("L01-03 and TINY", names) == []
    assert unmatched("gremlins or midle", names) == ["'gremlins'", "'midle' (did you mean 'middle'?)"]
