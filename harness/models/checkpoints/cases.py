"""Plans and cases of a checkpoint, which knows its stacks, the parts of its blocks, its steps and its passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from harness.ablation.case import Case, by_hand, over_stack
from harness.ablation.grid import Ask, expand, in_part, with_modifiers
from harness.ablation.guidance import GuidancePass, check_two_passes
from harness.ablation.modifiers import read_modifiers
from harness.ablation.plan import Plan
from harness.ablation.ranges import Parts
from harness.ablation.steps import Window
from harness.models.checkpoints.resolve import Checkpoint


def plan_of(checkpoint: Checkpoint, plan: Plan | str, stack: str | None = None) -> tuple[Plan, str]:
    """A plan and its stack, as :func:`harness.ablation.case.over_stack`. Raises PlanError or CaseError."""
    family = checkpoint.family
    return over_stack(checkpoint.name, checkpoint.stacks, plan, stack, names=family.diffusers_names, parts=family.parts)


def cases_of_plans(
    checkpoint: Checkpoint,
    plans: Iterable[str],
    *,
    modifiers: Sequence[str] = (),
    windows: Sequence[Window] = (),
    passes: Sequence[GuidancePass] = (),
) -> list[Case]:
    """The cases of plans like ``"double: 0-1 3-4"``, in each window and each pass, under each text of modifiers.

    Raises PlanError or CaseError where one doesn't fit the checkpoint.
    """
    family, steps = checkpoint.family, checkpoint.settings.steps
    together = [read_modifiers(text) for text in modifiers]
    whole = [
        by_hand(checkpoint.name, checkpoint.stacks, text, names=family.diffusers_names, parts=family.parts)
        for text in plans
    ]
    return [
        each
        for case in whole
        for part in in_part(case, windows, steps, passes)
        for each in with_modifiers(part, together, checkpoint.stacks, steps)
    ]


def cases_of_grid(
    checkpoint: Checkpoint,
    asks: Iterable[Ask],
    *,
    windows: Sequence[Window] = (),
    passes: Sequence[GuidancePass] = (),
    measured: Mapping[str, Parts] = MappingProxyType({}),
    on_lacking: Callable[[str, str], None] | None = None,
) -> list[Case]:
    """The cases of a grid, as :func:`harness.ablation.grid.expand`; stacks may have diffusers' names.

    Raises CaseError for what doesn't fit the checkpoint.
    """
    family = checkpoint.family
    return expand(
        checkpoint.name,
        checkpoint.stacks,
        [ask.renamed(family.diffusers_names) for ask in asks],
        windows=windows,
        steps=checkpoint.settings.steps,
        passes=passes,
        measured=measured,
        parts=family.parts,
        on_lacking=on_lacking,
    )


def check_passes(checkpoint: Checkpoint, passes: Sequence[GuidancePass]) -> None:
    """Raise CaseError where passes of guidance are asked of a checkpoint that is sampled in a single one."""
    if passes:
        check_two_passes(checkpoint.name, guided=checkpoint.family.guided(checkpoint.settings))
