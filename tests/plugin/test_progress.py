"""A line every ten seconds, with the time that is left."""

from __future__ import annotations

from harness.plugin.progress import Progress


def lines(times):
    progress = Progress()
    return [progress.after_test(len(times), now) for now in times]


def test_a_line_is_due_after_ten_seconds():
    assert lines([100, 104, 108, 112, 116, 117]) == [None, None, None, "4 of 6 tests, about 8 s left", None, None]


def test_the_first_test_says_nothing_of_the_pace():
    # It measures the control, too: it may take as long as it likes.
    assert lines([5000, 5010, 5020, 5021])[1:3] == ["2 of 4 tests, about 20 s left", "3 of 4 tests, about 10 s left"]


def test_nothing_is_said_of_a_run_of_unknown_length():
    # The controller of pytest-xdist collects nothing itself.
    progress = Progress()
    assert [progress.after_test(0, now) for now in (0, 20, 40)] == [None, None, None]
