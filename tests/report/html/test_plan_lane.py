"""What is drawn of a plan."""

from __future__ import annotations

import pytest

from harness.report.html.plan_lane import lane, read_plan


def drawn(text):
    return lane(read_plan(text))


def test_a_skip_runs_the_other_blocks_in_their_order():
    assert drawn("0 3-4") == {
        "runs": [[0, 1, ""], [3, 1, ""], [4, 1, ""]],
        "path": [0, 3, 4],
        "groups": [],
        "ordered": True,
    }


def test_repeats_are_counted_and_another_order_is_a_path():
    shown = drawn("0 2 2 1")
    assert shown["runs"] == [[0, 1, ""], [1, 1, ""], [2, 2, ""]]
    assert shown["path"] == [0, 2, 2, 1]
    assert not shown["ordered"]


def test_groups_have_their_ends_and_how_they_are_combined():
    shown = drawn("0 (1|3|2)~x2 4")
    assert shown["groups"] == [[1, 3, "parallel~ x2"]]
    assert shown["runs"][1] == [1, 2, ""]
    assert not shown["ordered"]


def test_what_is_left_of_a_block_is_named():
    assert drawn("0 1.attn*0.5 2")["runs"][1] == [1, 1, ".attn*0.5"]


@pytest.mark.parametrize("text", ["", "</script>", "0-", "5000", "0 1x3"])
def test_what_is_no_plan_or_none_that_fits_is_not_drawn(text):
    assert read_plan(text) is None


def test_a_plan_of_very_many_blocks_has_a_short_path():
    shown = drawn("(0|1)x40000")
    assert len(shown["path"]) == 512
    assert shown["runs"] == [[0, 40000, ""], [1, 40000, ""]]
