"""Trying out every stack of a transformer class: what is exact, what is refused and why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness.ablation.plan import Plan, identity, parse
from harness.errors import SurgeryError, first_line
from harness.models.kernels import pinned
from harness.models.stacks import blocks_at, find_stack, stacks
from harness.results.model_survey import ModelSurvey, StackSurvey
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import ablate
from harness.survey import reference
from harness.survey.tiny_config import tiny_config
from harness.survey.tiny_inputs import tiny_inputs


def survey(model: type[nn.Module]) -> ModelSurvey:
    """What is known of a class of diffusers: built small with random weights, run on random inputs."""
    name = model.__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            transformer = tiny_transformer(model)
            arguments = tiny_inputs(transformer)
            output(transformer, arguments)
    except Exception as error:  # noqa: BLE001 - a class that diffusers added may fail in any way
        return ModelSurvey(name, problem=f"no small one could be run: {type(error).__name__}: {first_line(error)}")
    return survey_transformer(transformer, arguments)


def tiny_transformer(model: type[nn.Module], seed: int = 0) -> nn.Module:
    """A small model of a class, in eval mode, every weight random: diffusers' own leave gates shut."""
    transformer = model(**tiny_config(model)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in transformer.parameters():
            spread = 0.3 if parameter.ndim < 2 else 0.6 / max(parameter.shape[1:].numel(), 1) ** 0.5
            parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    return transformer


def survey_transformer(transformer: nn.Module, arguments: Mapping[str, Any]) -> ModelSurvey:
    """What is known of a model; ``arguments`` are those of one forward."""
    found = tuple(_stack(transformer, arguments, name) for name in stacks(transformer))
    return ModelSurvey(type(transformer).__name__, found)


def output(transformer: nn.Module, arguments: Mapping[str, Any]) -> Any:
    """What one forward returns."""
    with torch.no_grad(), pinned():
        return transformer(**arguments)


@dataclass(frozen=True)
class _Trial:
    """One stack of one model, with what it gives as it is."""

    transformer: nn.Module
    arguments: Mapping[str, Any]
    stack: str
    attribute: str
    contract: BlockContract
    plain: Any
    calls: Sequence[Mapping[str, Any]]

    @property
    def blocks(self) -> list[nn.Module]:
        """The stack's blocks."""
        return list(blocks_at(self.transformer, self.attribute))

    def run(self) -> Any:
        """One forward."""
        return output(self.transformer, self.arguments)

    def under(self, plan: Plan, *, force_slots: bool = False) -> Any:
        """One forward under a plan, whose executed blocks are the plan's. Raises SurgeryError."""
        with (
            ablate(self.transformer, plan, self.stack, force_slots=force_slots),
            traced(self.transformer, self.stack) as ran,
        ):
            result = self.run()
        if check_trace(ran, plan, self.stack) != 1 and list(plan.atoms()):
            raise SurgeryError(f"{len(ran)} blocks ran under the plan '{plan}'")
        return result

    def listed(self, modules: Sequence[nn.Module]) -> Any:
        """One forward of a model whose list holds these modules."""
        with reference.in_place(self.transformer, self.attribute, modules):
            return self.run()


def _stack(transformer: nn.Module, arguments: Mapping[str, Any], name: str) -> StackSurvey:
    attribute = find_stack(transformer, name).attribute
    blocks = list(blocks_at(transformer, attribute))
    known = StackSurvey(attribute, type(blocks[0]).__name__)
    try:
        shown = contract(transformer, attribute)
    except SurgeryError as error:
        return _with(known, refused=first_line(error))
    with reference.calls_noted(blocks) as calls:
        plain = output(transformer, arguments)
    if len(calls) != len(blocks):
        return _with(known, refused=f"a forward called {len(calls)} of its {len(blocks)} blocks")
    trial = _Trial(transformer, arguments, name, attribute, shown, plain, calls)
    returns = ", ".join(shown.outputs)
    return _with(
        known,
        contract=returns if shown.single else f"({returns})" if len(shown.outputs) > 1 else f"({returns},)",
        by_block=shown.by_block,
        fixed=shown.fixed,
        checks={check: _reason(trial, run) for check, run in CHECKS.items()},
    )


def _with(known: StackSurvey, **values: Any) -> StackSurvey:
    return StackSurvey(**{**vars(known), **values})


def _reason(trial: _Trial, check: Callable[[_Trial], str]) -> str:
    try:
        return check(trial)
    except SurgeryError as error:
        return first_line(error)
    except Exception as error:  # noqa: BLE001 - a model may fail in any way, and the survey goes on
        return f"{type(error).__name__}: {first_line(error)}"


def _identity(trial: _Trial) -> str:
    """Every block behind a slot is bitwise the model."""
    same = reference.same(trial.under(identity(len(trial.blocks)), force_slots=True), trial.plain)
    return "" if same else "differs from the model"


def _skip(trial: _Trial) -> str:
    """Leaving out each block is bitwise a model with a block that hands on what it gets, and changes the output."""
    length = len(trial.blocks)
    for left_out in range(length):
        plan = Plan(tuple(i for i in range(length) if i != left_out))
        skipped = trial.under(plan)
        if not reference.same(skipped, trial.listed(reference.without(trial.blocks, left_out, trial.contract))):
            return f"without block {left_out} it differs from a model whose block {left_out} hands on what it gets"
        if reference.same(skipped, trial.plain):
            return f"without block {left_out} the output is the same: the block does nothing here"
    return ""


def _deleted(trial: _Trial) -> str:
    """Leaving out each block is bitwise a model whose list is shorter by one."""
    length = len(trial.blocks)
    for left_out in range(length):
        kept = [i for i in range(length) if i != left_out]
        try:
            shorter = trial.listed([trial.blocks[i] for i in kept])
        except Exception as error:  # noqa: BLE001 - a model that counts its blocks may fail in any way
            return f"a list without block {left_out} fails: {type(error).__name__}"
        if not reference.same(trial.under(Plan(tuple(kept))), shorter):
            return "in a shorter list the blocks behind get other data"
    return ""


def _reverse(trial: _Trial) -> str:
    """All blocks in the opposite order are bitwise those blocks in a plain list or loop."""
    order = list(reversed(range(len(trial.blocks))))
    moved = trial.under(Plan(tuple(order)))
    if trial.contract.by_block:
        groups = [[i] for i in order]
        slow = reference.each_with_its_own(trial.blocks, groups, trial.contract, trial.calls)
    else:
        slow = reference.reordered(trial.blocks, order, trial.contract)
    return "" if reference.same(moved, trial.listed(slow)) else "differs from the same blocks in a plain loop"


def _parallel(trial: _Trial) -> str:
    """The first two blocks side by side are bitwise their mean in a plain loop."""
    length = len(trial.blocks)
    plan = parse(" ".join(["(0|1)", *map(str, range(2, length))]), length=length, stack=trial.stack)
    beside = trial.under(plan)
    if trial.contract.by_block:
        groups = [[0, 1], *([i] for i in range(2, length))]
        slow = reference.each_with_its_own(trial.blocks, groups, trial.contract, trial.calls)
    else:
        slow = reference.side_by_side(trial.blocks, (0, 1), trial.contract)
    return "" if reference.same(beside, trial.listed(slow)) else "differs from the mean of both in a plain loop"


class _Stopped(Exception):  # noqa: N818 - no error: it stops a forward on purpose
    """Raised inside a block."""


def _restored(trial: _Trial) -> str:
    """After an exception inside a block, list, parameters and output are what they were."""
    before = list(trial.transformer.state_dict())
    original = blocks_at(trial.transformer, trial.attribute)

    def stop(_module: nn.Module, _args: Any) -> None:
        raise _Stopped

    handle = original[len(original) - 1].register_forward_pre_hook(stop)
    try:
        trial.under(identity(len(original)), force_slots=True)
    except _Stopped:
        stopped = True
    else:
        stopped = False
    finally:
        handle.remove()
    restored = blocks_at(trial.transformer, trial.attribute) is original
    same = (
        stopped
        and restored
        and list(trial.transformer.state_dict()) == before
        and reference.same(trial.run(), trial.plain)
    )
    return "" if same else "the model isn't what it was"


CHECKS: Mapping[str, Callable[[_Trial], str]] = {
    "identity": _identity,
    "skip": _skip,
    "deletion": _deleted,
    "reverse": _reverse,
    "parallel": _parallel,
    "restored": _restored,
}
