"""The page of all transformer classes, from surveys by hand."""

from __future__ import annotations

import pytest

from harness.report import models_page
from harness.results.model_survey import ModelSurvey, StackSurvey

ALL = dict.fromkeys(("identity", "skip", "deletion", "reverse", "parallel", "restored"), "")
PLAIN = StackSurvey("blocks", "Block", "x", checks=ALL)
INDEXED = StackSurvey("layers", "Block", "(text, x)", ("temb",), checks={**ALL, "deletion": "other data"})
STAYING = StackSurvey("blocks", "B", "x", fixed="long skips", checks={**ALL, "reverse": "plan", "parallel": "plan"})
BROKEN = StackSurvey("blocks", "B", "x", checks={**ALL, "identity": "differs from the model"})
REFUSED = StackSurvey("heads", "Linear", refused="no loop; declare it")
SURVEYS = [
    ModelSurvey("A", (PLAIN, INDEXED)),
    ModelSurvey("B", (STAYING, REFUSED)),
    ModelSurvey("C", problem="no | way"),
]


def test_a_row_a_stack():
    assert models_page.survey_table(SURVEYS).splitlines()[2:] == [
        "| `A` | `blocks` | `x` | - | all | - |",
        "| `A` | `layers` | `(text, x)` | `temb` | all | a shorter list is another model |",
        "| `B` | `blocks` | `x` | - | identity, skip, restored | reverse, parallel: long skips |",
        "| `B` | `heads` | - | - | - | no loop |",
        "| `C` | - | - | - | - | no \\| way |",
    ]
    assert models_page.rows(ModelSurvey("D", (BROKEN,)))[0][-1] == "identity: differs from the model"
    assert models_page.rows(ModelSurvey("E"))[0][-1] == "no list of blocks"


def test_totals_and_the_block_of_a_page():
    assert models_page.totals(SURVEYS) == models_page.SurveyTotals(3, 4, 3)
    page = "before\n<!-- survey of diffusers 0.1 -->\nold\n<!-- end of the survey -->\nbehind\n"
    written = models_page.put_survey(page, SURVEYS, "9.9")
    assert written.startswith("before\n<!-- survey of diffusers 9.9 -->\n")
    assert written.endswith("<!-- end of the survey -->\nbehind\n")
    assert "old" not in written
    assert "3 classes with 4 stacks; the identity behind slots is bitwise the model on 3 of them" in written
    assert models_page.put_survey(written, SURVEYS, "9.9") == written
    with pytest.raises(ValueError, match="has no line"):
        models_page.put_survey("nothing", SURVEYS, "9.9")


def test_a_class_for_a_terminal():
    shown = models_page.described(ModelSurvey("A", (INDEXED, STAYING, REFUSED)))
    assert "temb comes by index and belongs to the block" in shown
    assert "not: reverse, parallel: long skips" in shown
    assert "refused: no loop; declare it" in shown
    assert models_page.described(ModelSurvey("E")) == "E: it has no list of blocks, so there is nothing to ablate"
