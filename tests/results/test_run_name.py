"""Names of runs: a new one is a name, and what would leave the folder of runs is none."""

from __future__ import annotations

import re

import pytest

from harness.results.run_name import is_name, new_name


def test_a_new_name_is_the_time_and_differs():
    names = {new_name() for _ in range(20)}
    assert len(names) > 15  # of the same second, with 16 bits each
    assert all(is_name(name) and re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}", name) for name in names)


@pytest.mark.parametrize("text", ["a", "night-3", "A.b_c-9", "7"])
def test_a_folder_may_be_called_so(text):
    assert is_name(text)


@pytest.mark.parametrize("text", ["", ".", "..", "../x", "a/b", "a b", "-a", "ä", "a\n"])
def test_a_folder_may_not_be_called_so(text):
    assert not is_name(text)
