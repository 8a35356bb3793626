"""A mistake is answered with the nearest right word."""

from __future__ import annotations

import time

import pytest

from harness.spelling import did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "known", "answer"),
    [
        ("skp", ["skip", "swap", "repeat"], ["skip"]),
        ("FLUX-TINY", ["flux-tiny", "sd3-tiny"], ["flux-tiny"]),
        ("false_reds", ["false-reds", "repeat"], ["false-reds"]),
        ("middle upper", ["middle", "middle-upper"], ["middle-upper"]),
        ("skip", ["skip", "repeat"], []),  # what is known is not a mistake
        ("gremlins", ["skip", "repeat"], []),
        ("", ["skip"], []),
        ("skip", [], []),
    ],
)
def test_the_nearest_word_or_none(word, known, answer):
    assert nearest(word, known) == answer
    assert did_you_mean(word, known) == (f" (did you mean {answer[0]!r}?)" if answer else "")


def test_several_words_are_the_nearest_first():
    assert nearest("parallel-som", ["parallel", "parallel-sum", "swap"], most=2) == ["parallel-sum", "parallel"]
    assert did_you_mean("B22", ["B2", "B12", "C1"], most=3) == " (did you mean 'B2' or 'B12'?)"


def test_a_word_of_a_million_characters_is_answered_at_once():
    began = time.monotonic()
    assert did_you_mean("x" * 1_000_000, ["skip"] * 50) == ""
    assert time.monotonic() - began < 1
