"""The table of the best plan against its rivals."""

from __future__ import annotations

from harness.report.rivals_page import markdown
from harness.results.matched_compute import Best, Match
from harness.results.statistics import Interval


def test_a_row_for_each_kind_at_each_speed_up():
    matches = (
        Match(
            1.25,
            (
                Best("plan", ("double: 0-2",), 1.25, Interval(0.5, 0.25, 0.75), None),
                Best("residual reuse", ("a", "b"), 1.5, Interval(1.0, 0.0, 2.0), Interval(0.5, 0.1, 0.9)),
            ),
        ),
    )
    lines = markdown({"flux-tiny": matches}).splitlines()
    assert lines[2] == "| flux-tiny | 1.25x | plan | `double: 0-2` | 1.25x | 0.50 [0.25, 0.75] | - |"
    assert lines[3].endswith("| `a` or `b` | 1.50x | 1.00 [0.00, 2.00] | 0.50 [0.10, 0.90] |")
