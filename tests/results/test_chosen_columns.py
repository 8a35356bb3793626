"""The columns of the terminal's table by the words that ask for them."""

from __future__ import annotations

import pytest

from harness.errors import OptionError
from harness.results import columns
from harness.results.chosen_columns import is_chosen, read_columns, shown
from harness.results.figure import RankedBy

EVERY = columns.table(RankedBy.HARM)


def test_without_words_there_are_those_that_matter():
    names = [column.heading for column in shown(EVERY, ())]
    assert names == ["#", "tier", "variant", "harm [points]", "speed-up", "CLIP", "drift", "gate"]
    assert shown(EVERY, ("all",)) == EVERY
    assert [c.name for c in shown(EVERY, (), always=["plan"]) if c not in shown(EVERY, ())] == ["plan"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("lost-percent", "lost_percent"),
        ("lost_percent", "lost_percent"),
        ("Lost %", "lost_percent"),
        ("checker", "grade_loss"),
        ("FID/null", "fid_ratio"),
        ("harm", "harm"),  # the figure of that name, in sd; harm in points is there anyway
        ("all", "all"),
        ("lpips.drift", "lpips.drift"),
    ],
)
def test_a_column_is_asked_for_by_its_name_or_its_heading(word, name):
    assert read_columns([word]) == (name,)


def test_several_words_stand_in_one_text_or_in_several():
    assert read_columns(["checker, lost-percent", "checker"]) == ("grade_loss", "lost_percent")


def test_every_column_can_be_asked_for_alone():
    for column in EVERY:
        (name,) = read_columns([column.name])
        assert column in shown(EVERY, (name,))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("chekcer", r"no column 'chekcer' \(did you mean 'checker'\?\); there are all, rank, "),
        ("gremlins", "no column 'gremlins'; there are all, "),
        ("", "no column ''"),
        (".", "no column '.'"),
    ],
)
def test_an_unknown_one_is_answered_with_the_nearest(word, said):
    with pytest.raises(OptionError, match=said):
        read_columns([word])


def test_a_metric_asks_for_all_of_its_columns():
    drift = columns.extra("lpips.drift")
    assert is_chosen(drift, ["lpips"])
    assert is_chosen(drift, ["lpips.drift"])
    assert not is_chosen(drift, ["lpip"])
