"""The declared modifiers of ranges: their ids, their costs, and what they name when asked wrongly."""

from __future__ import annotations

import pytest

from harness.ablation.inner_modifiers import INNER
from harness.ablation.modifiers import read_modifier
from harness.errors import CaseError

STACKS = {"double": 5, "single": 10}


@pytest.mark.parametrize(
    "text",
    [
        "double-L01-03-cut-edges.it-tt",
        "single-L02-07-freeze-norm",
        "single-L02-07-freeze-norm.b2.q1-steps-0-1",
        "single-L03-token-exit.text-dropped",
        "single-L02-07-clamp-neurons.red.n8",
        "double-L01-03-surrogate.linear.b4",
    ],
)
def test_an_id_reads_back(text):
    assert str(read_modifier(text).checked("flux-tiny", STACKS, 4)) == text


def test_a_surrogate_saves_its_range_and_the_others_save_no_block():
    assert read_modifier("single-L00-04-surrogate.mean").cost(STACKS, 4) == pytest.approx(1 - 5 / 15)
    assert read_modifier("single-L00-04-surrogate.mean-steps-0-1").cost(STACKS, 4) == pytest.approx(1 - 5 / 30)
    assert read_modifier("single-L00-04-cut-edges.it").cost(STACKS, 4) == 1


def test_there_are_fifteen_ways_to_cut_edges():
    (cut,) = (modifier for modifier in INNER if modifier.name == "cut-edges")
    assert len(cut.choices) == 15
    assert cut.choices["it-ii"] == "cuts image->text and image->image"


def test_wrong_input_is_named():
    with pytest.raises(CaseError, match="lacks a choice; it takes it "):
        read_modifier("cut-edges")
    with pytest.raises(CaseError, match="no parameter 'tx'"):
        read_modifier("cut-edges.tx")
    with pytest.raises(CaseError, match="no parameter 'purple'"):
        read_modifier("clamp-neurons.purple")
    with pytest.raises(CaseError, match="from 0 to 1"):
        read_modifier("freeze-norm.q2")
