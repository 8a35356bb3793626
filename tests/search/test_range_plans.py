"""Plans of strategies on ranges: every one that saves enough, with the error of a forward of its own."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.plan import Plan
from harness.ablation.removals import Blocks
from harness.ablation.strategies import choose
from harness.errors import PlanError
from harness.lab.lab import Lab
from harness.models.kernels import pinned
from harness.search.goal import Goal, Saving
from harness.search.range_plans import check_saves, least_saving_first, range_plans
from harness.search.shares import parameter_shares
from harness.search.trajectory import trajectory_inputs
from harness.search.velocity_search import VelocityErrors
from harness.surgery.view import ablate

LENGTHS = {"double": 3, "single": 6}
REPEAT = choose("repeat")
PARAMETERS = Goal(Blocks(LENGTHS, (0.1,) * 9), 0.3, Saving.PARAMETERS)


def plain_loop(lab, arguments, target):
    """The slow reference: every range, its plan written out, its parameters counted, a forward by ablate."""
    transformer = lab.transformer
    total = sum(p.numel() for p in transformer.parameters())
    with torch.inference_mode(), pinned():
        control = transformer(**arguments)[0].double()
        for stack, attribute in (("double", "transformer_blocks"), ("single", "single_transformer_blocks")):
            blocks = list(getattr(transformer, attribute))
            for first in range(len(blocks)):
                for last in range(first + 1, len(blocks)):
                    centre = (first + last) // 2
                    steps = [centre if first <= i <= last else i for i in range(len(blocks))]
                    unused = [p for i, block in enumerate(blocks) if i not in steps for p in block.parameters()]
                    saved = sum(p.numel() for p in unused) / total
                    if saved < target:
                        continue
                    with ablate(transformer, Plan(tuple(steps)), stack):
                        velocity = transformer(**arguments)[0].double()
                    errors = (velocity - control).square().sum((1, 2)) / control.square().sum((1, 2))
                    yield f"{stack} {first}-{last}", (saved, float(errors.mean()))


def test_the_plans_and_errors_are_those_of_a_plain_loop_over_ranges():
    prompts = ["a red circle", "a blue square"]
    lab = Lab("flux-tiny", prompts=prompts, device=torch.device("cpu"))
    goal = Goal(Blocks(lab.checkpoint.stacks, parameter_shares(lab)), 0.2, Saving.PARAMETERS)
    plans = range_plans(goal, [choose("repeat")])
    errors = VelocityErrors(lab.sampler, lab.checkpoint.stacks, prompts, [1])([p.candidate for p in plans], False)
    fast = {f"{p.stack} {p.span}": (goal.saved(p.candidate), e) for p, e in zip(plans, errors, strict=True)}
    (batch,) = trajectory_inputs(lab.sampler, prompts, [1])
    slow = dict(plain_loop(lab, batch.arguments, goal.target))
    assert fast.keys() == slow.keys()
    assert {place.partition(" ")[0] for place in slow} == {"double", "single"}
    for place, (saved, error) in slow.items():
        assert fast[place] == pytest.approx((saved, error), rel=1e-6), place


def test_every_range_comes_once_for_each_strategy():
    once = range_plans(PARAMETERS, [REPEAT])
    assert [f"{plan.stack} {plan.span}" for plan in once] == [
        *("single 0-3", "single 0-4", "single 0-5", "single 1-4", "single 1-5", "single 2-5"),
    ]
    both = range_plans(PARAMETERS, [choose("repeat"), choose("skip"), choose("repeat")])
    assert both[: len(once)] == once
    assert len(both) == len(once) + 1 + 4 + 3 + 2 + 1
    assert len({plan.candidate for plan in both}) == len(both)


def test_those_that_save_least_come_first():
    savings = [PARAMETERS.saved(p.candidate) for p in least_saving_first(PARAMETERS, range_plans(PARAMETERS, [REPEAT]))]
    assert savings == pytest.approx([0.3, 0.3, 0.3, 0.4, 0.4, 0.5])


@pytest.mark.parametrize(
    ("strategy", "saving", "said"),
    [
        ("parallel", Saving.RUNS, "strategy 'parallel' saves no block runs on any range; of all strategies, skip do"),
        ("parallel.t3", Saving.TIME, "strategy 'parallel.t3' saves no time on any range"),
        ("repeat", Saving.TIME, "strategy 'repeat' saves no time on any range; of all strategies, skip do"),
        ("shuffle.s2", Saving.PARAMETERS, "saves no parameters on any range; of all strategies, skip, repeat do"),
    ],
)
def test_a_strategy_that_never_saves_is_one_line_with_those_that_do(strategy, saving, said):
    with pytest.raises(PlanError, match=said):
        check_saves([choose("skip"), choose(strategy)], LENGTHS, saving)


def test_strategies_that_save_are_taken():
    check_saves([choose("repeat"), choose("skip")], LENGTHS, Saving.PARAMETERS)
    check_saves([choose("skip")], LENGTHS, Saving.RUNS)


def test_a_strategy_that_saves_too_little_says_how_far_it_comes():
    goal = Goal(PARAMETERS.blocks, 0.6, Saving.PARAMETERS)
    with pytest.raises(PlanError, match=r"'repeat' saves 0.6 of the parameters on no range, at most 0.5 .*range 0-5"):
        range_plans(goal, [REPEAT])
    with pytest.raises(PlanError, match="on no range: no stack has 2 blocks"):
        range_plans(Goal(Blocks.alike({"s": 1}), 1.0, Saving.PARAMETERS), [REPEAT])
