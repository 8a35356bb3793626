"""Windows of denoising steps as text: they read back, and what is none is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation import steps as windows
from harness.ablation.ranges import range_text
from harness.errors import CaseError

SPANS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))


@given(SPANS)
def test_windows_read_back(window):
    assert windows.read(range_text(*window)) == window
    assert windows.split("skip" + windows.suffix(window)) == ("skip", window)


def test_a_single_step_is_written_alone():
    assert windows.read("2") == windows.read("2-2") == (2, 2)
    assert windows.suffix((2, 2)) == "-steps-2"
    assert windows.suffix(None) == ""
    assert windows.split("skip") == ("skip", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no range of denoising steps; write a step"),
        ("all", "window 'all' is no range"),
        ("-1", "is no range"),
        ("0-1-2", "is no range"),
        ("٣", "is no range"),
        ("3-1", "runs backwards; write it from the lower step to the higher: 1-3"),
    ],
)
def test_what_is_no_window_is_named(text, message):
    with pytest.raises(CaseError, match=message):
        windows.read(text)


@given(SPANS, st.integers(1, 31))
def test_a_window_over_all_steps_is_none(window, steps):
    if window[1] >= steps:
        with pytest.raises(
            CaseError, match=rf"goes beyond the {steps} denoising steps of checkpoint 'm' \(0-{steps - 1}\)"
        ):
            windows.within(window, steps, "m")
    else:
        assert windows.within(window, steps, "m") == (None if window == (0, steps - 1) else window)


@pytest.mark.parametrize("window", [(-1, 1), (2, 1)])
def test_windows_from_python_are_checked_too(window):
    with pytest.raises(CaseError, match="is no range of denoising steps"):
        windows.within(window, 4, "m")
