"""Candidates of a search: plans by stack that hold together. A set of left-out blocks is one kind of them.

Selectors search sets of left-out blocks (:mod:`harness.ablation.removals`), of which there are 2^L. Any other plan,
such as a range whose centre block runs in place of all of them, is a :class:`StackPlans`. Both are measured, confirmed
on images, kept in the journal and reported alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.ablation.plan import Plan
from harness.ablation.removals import Blocks, Removal, plans_text


@dataclass(frozen=True)
class StackPlans:
    """Plans of some stacks as (stack, plan), in the order of the model; stacks without one run as they are."""

    by_stack: tuple[tuple[str, Plan], ...]


Candidate = Removal | StackPlans


def candidate_of(plans: Mapping[str, Plan], blocks: Blocks) -> Candidate:
    """The candidate of those plans, equal for plans that run the same: a removal where they only leave blocks out.

    Raises PlanError for a plan with a block that its stack lacks, ValueError for a stack that the model lacks.
    """
    if unknown := plans.keys() - blocks.lengths.keys():
        raise ValueError(f"there is no stack {min(unknown)!r}")
    changed: dict[str, Plan] = {}
    gone: set[int] = set()
    leaves_out_alone = True
    start = 0
    for stack, length in blocks.lengths.items():
        plan = plans[stack].normal() if stack in plans else None
        if plan is not None and not plan.is_identity(length):
            plan.check(length, stack)
            changed[stack] = plan
            kept = set(plan.blocks())
            leaves_out_alone &= plan.steps == tuple(sorted(kept))
            gone |= {start + block for block in range(length) if block not in kept}
        start += length
    return frozenset(gone) if leaves_out_alone else StackPlans(tuple(changed.items()))


def plans_of(candidate: Candidate, blocks: Blocks) -> dict[str, Plan]:
    """The plan by stack; stacks that run as they are are not in it."""
    return dict(candidate.by_stack) if isinstance(candidate, StackPlans) else blocks.plan(candidate)


def text_of(candidate: Candidate, blocks: Blocks) -> str:
    """The plans as :func:`~harness.ablation.removals.plans_text`; empty for the model as it is."""
    return plans_text(plans_of(candidate, blocks))
