"""A run in rounds on a small lab: what it measures, where it goes on, and what a budget leaves out."""

from __future__ import annotations

import pytest

from harness.ablation.case import by_hand
from harness.analysis.adaptive_rounds import least_budget, measure_in_rounds
from harness.errors import OptionError
from harness.lab.budget import Account, Budget
from harness.lab.lab import Lab
from harness.results.adaptive import looks, prompt_order

PLANS = ("double: 0 4", "single: 0-8", "double: 0 2-4")


@pytest.fixture(scope="module")
def cases(lab):
    return [by_hand("flux-tiny", lab.checkpoint.stacks, plan) for plan in PLANS]


@pytest.fixture(scope="module")
def whole(lab, cases):
    kept, lines = [], []
    outcome = measure_in_rounds(
        lab, cases, before={}, keep=lambda case, measured: kept.append((case.id, measured)), say=lines.append
    )
    return outcome, kept, lines


def test_every_variant_is_measured_in_the_same_order_of_prompts(whole, cases):
    outcome, kept, lines = whole
    assert set(outcome.measurements) == {case.id for case in cases}
    order, schedule = prompt_order(("",) * 8), looks(8)
    for _, measured in kept:
        assert measured.prompts in schedule
        if measured.partial:
            assert measured.subset.indices == order[: measured.prompts]
    assert [name for name, _ in kept[:3]] == [case.id for case in cases]
    assert lines[0].startswith("flux-tiny: look 1 of 3, 3 variants on 4 of 8 prompts; ")
    assert not outcome.errors
    assert not outcome.unmeasured


def test_a_run_that_goes_on_measures_only_what_is_missing_and_comes_to_the_same(lab, cases, whole, monkeypatch):
    outcome, kept, _ = whole
    for cut in range(len(kept) + 1):
        again = []
        after = measure_in_rounds(
            lab,
            cases,
            before=dict(kept[:cut]),
            keep=lambda case, measured, again=again: again.append((case.id, measured)),
            say=lambda _line: None,
        )
        assert again == kept[cut:]
        assert after.measurements == outcome.measurements


def test_a_case_that_raises_leaves_the_others_alone(lab, cases, monkeypatch):
    run = Lab.run

    def broken(self, plan, stack, *rest, **more):
        if stack == "single":
            raise ValueError("no")
        return run(self, plan, stack, *rest, **more)

    monkeypatch.setattr(Lab, "run", broken)
    outcome = measure_in_rounds(lab, cases, before={}, keep=lambda *_: None, say=lambda _line: None)
    assert [str(error) for error in outcome.errors.values()] == ["no"]
    assert set(outcome.measurements) | set(outcome.errors) == {case.id for case in cases}


def test_a_budget_measures_the_most_promising_first_and_names_the_rest(lab, cases):
    lengths, steps, control = lab.checkpoint.stacks, lab.checkpoint.settings.steps, 4 * 8
    least = least_budget(lengths, cases, steps, control)
    assert control < least < control + 31
    lines = []
    account = Account(Budget("some", images=least + 4))
    outcome = measure_in_rounds(lab, cases, before={}, keep=lambda *_: None, say=lines.append, account=account)
    assert len(outcome.measurements) == 1
    assert cases[0].id in outcome.unmeasured  # three of five blocks left out: the largest velocity error
    assert all("the budget of some was spent" in why for why in outcome.unmeasured.values())
    assert len(outcome.measurements) + len(outcome.unmeasured) == 3
    assert account.spent <= least + 4
    assert lines[0].startswith("flux-tiny: screened 3 variants")


def test_a_budget_of_time_below_the_control_is_refused_once_that_is_known(lab, cases):
    now = iter(range(0, 10_000, 50))
    account = Account(Budget("40s", seconds=40), clock=lambda: float(next(now)))
    with pytest.raises(OptionError, match="--dit-budget 40s: the control alone took"):
        measure_in_rounds(lab, cases, before={}, keep=lambda *_: None, say=lambda _line: None, account=account)
