"""The work file: what is written is read back, and whatever else is refused by one line."""

from __future__ import annotations

import json

import pytest

from harness.ablation.case import by_hand
from harness.ablation.grid import Ask, expand
from harness.ablation.guidance import GuidancePass
from harness.ablation.strategies import ALL_STRATEGIES
from harness.errors import CaseError, DataError, HarnessError
from harness.workers.work import CaseEntry, Measuring, Model, Work, cases_of, entries_of, read_work

STACKS = {"double": 5, "single": 10}
ASKS = [Ask(("double", "single"), ("each",), ("skip",)), Ask(("double", "single"), ("middle", "1-3"), ALL_STRATEGIES)]


def cases(**more):
    return [*expand("m", STACKS, ASKS, **more), by_hand("m", STACKS, "double: 0 (1|2)x2 3")]


WORK = Work(
    Model("m", dtype="bfloat16", steps=4, width=64, height=128),
    Measuring(prompts={"": ("a", "b"), "colours": ("c",)}, metrics=("lpips",), latency=True),
    entries_of(cases()[:3]),
)
PLAIN = json.loads(WORK.to_text())


def test_a_work_is_read_back():
    assert read_work(WORK.to_text()) == WORK


@pytest.mark.parametrize("passes", [(), tuple(GuidancePass)])
@pytest.mark.parametrize("windows", [(), ((0, 1), (3, 3))])
def test_cases_are_read_back_as_they_were(windows, passes):
    asked = cases(windows=windows, steps=4, passes=passes)
    work = Work(Model("m"), Measuring(), entries_of(asked))
    assert cases_of(read_work(work.to_text()), "m", STACKS, 4) == asked


def without(name):
    return {key: value for key, value in PLAIN.items() if key != name}


def case(**changes):
    return {**PLAIN, "cases": [{**PLAIN["cases"][0], **changes}]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**PLAIN, "version": 2}, "it has version '2', and this harness reads work files of version 1"),
        ({**PLAIN, "version": True}, "it has version 'True', and"),
        ({**PLAIN, "version": 1.0}, "it has version '1.0', and"),
        (without("version"), "it has no version, and this harness reads work files of version 1"),
        ({**PLAIN, "priority": 1}, "priority is unknown; the fields are"),
        ({**PLAIN, "model": {**PLAIN["model"], "precision": 8}}, "model.precision is unknown"),
        ({**PLAIN, "measuring": {**PLAIN["measuring"], "reward": 1}}, "measuring.reward is unknown"),
        (case(depth=1), r"cases\[0\].depth is unknown"),
        (without("cases"), "cases is missing"),
        (without("model"), "model is missing"),
        ({**PLAIN, "cases": []}, "it names no case"),
        ({**PLAIN, "cases": PLAIN["cases"] * 2}, "it names a case twice: m-double-L00-skip"),
        ({**PLAIN, "cases": {}}, "cases is {}, not a list"),
        (case(plan=5), r"cases\[0\].plan is 5, not a text"),
        (case(window=[0, 1, 2]), r"cases\[0\].window has 3 entries, not 2"),
        (case(id=""), r"cases\[0\].id is '', not a text that is not empty"),
        ({**PLAIN, "model": {**PLAIN["model"], "dtype": "float8"}}, "model.dtype is 'float8', not one of float32"),
        ({**PLAIN, "model": {**PLAIN["model"], "steps": "4"}}, "model.steps is '4', not a whole number"),
        ({**PLAIN, "model": {**PLAIN["model"], "batch": 0}}, "model.batch is 0, not 1 to"),
        ({**PLAIN, "measuring": {**PLAIN["measuring"], "latency": "yes"}}, "measuring.latency is 'yes', not true or"),
        ([PLAIN], "a work file holds an object"),
    ],
)
def test_what_is_no_work_of_this_version_is_refused_in_one_line(data, message):
    with pytest.raises(DataError, match=f"^w.json: {message}") as refused:
        read_work(json.dumps(data), "w.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("end", [0, 1, 100, -2])
def test_a_file_that_was_cut_off_is_refused(end):
    with pytest.raises(DataError, match=r"^w.json is no work file: "):
        read_work(WORK.to_text()[:end], "w.json")


def test_a_field_twice_is_refused():
    with pytest.raises(DataError, match=r"'version' is there twice"):
        read_work('{"version": 1, ' + WORK.to_text()[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stack": "triple"}, "checkpoint 'm' has no stack 'triple'"),
        ({"plan": "0-9"}, "block 9 is out of range"),
        ({"strategy": "swap"}, "of the work file is 'm-double-L00-swap' on this checkpoint"),
        ({"range": (3, 1)}, "a range runs from a lower to a higher block"),
        ({"window": (0, 9)}, "goes beyond the 4 denoising steps"),
    ],
)
def test_a_case_that_does_not_fit_the_checkpoint_is_named(changes, message):
    entry = CaseEntry(**{**vars(WORK.cases[0]), **changes})
    with pytest.raises(CaseError, match=f"^case 'm-double-L00-.*{message}"):
        cases_of(Work(Model("m"), Measuring(), (entry,)), "m", STACKS, 4)


def test_no_case_is_no_work():
    with pytest.raises(HarnessError, match=r"no case is left"):
        entries_of([])
