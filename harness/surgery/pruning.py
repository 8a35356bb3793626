"""The smaller model that a plan leaves, on the original's own tensors.

Only plans that leave blocks out or put them in another order have one: a saved model runs each of its
blocks once, one after another. The weights are renamed, never copied: the smaller model is made without
memory of its own and takes the original's tensors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.ablation.block_parts import PartialBlock
from harness.ablation.plan import Group, Plan, as_plan, format_plan, split_stack
from harness.errors import ExportError
from harness.models.checkpoints.resolve import FAMILIES, Family
from harness.models.stacks import blocks_at, find_stack
from harness.surgery.view import BlockView

_DUAL = "dual_attention_layers"  # SD3.5's config key: which blocks have a second attention

Kept = dict[str, tuple[int, ...]]


def chosen(model: nn.Module, plans: str | Sequence[str] | Mapping[str, Plan | str]) -> Kept:
    """Stack -> the original indices of the blocks that stay, in their new order.

    Raises ExportError, PlanError or SurgeryError.
    """
    if isinstance(plans, Mapping):
        pairs: list[tuple[str | None, Plan | str]] = list(plans.items())
    else:
        pairs = [split_stack(text) for text in ([plans] if isinstance(plans, str) else plans)]
    kept: Kept = {}
    changed = False
    for name, plan in pairs:
        stack, attribute = find_stack(model, name)
        blocks = blocks_at(model, attribute)
        if isinstance(blocks, BlockView):
            raise ExportError(f"stack {stack!r} is under a plan; leave its ablate() first, and give the plan here")
        if stack in kept:
            raise ExportError(f"two plans for stack {stack!r}; write them as one")
        steps = as_plan(plan, len(blocks), stack).normal()
        kept[stack] = _blocks(steps, stack, type(model).__name__)
        _check_text(kept[stack], list(blocks), stack, type(model).__name__)
        changed |= not steps.is_identity(len(blocks))
    if not changed:
        raise ExportError("the plans run every block as it is: there is nothing to leave out; copy the model instead")
    return kept


def _blocks(plan: Plan, stack: str, model: str) -> tuple[int, ...]:
    where = f"plan '{plan}' over stack {stack!r} can't be saved"
    rule = f"a saved {model} runs each block once, one after another (subsets and orders can be saved)"
    blocks: list[int] = []
    for step in plan.steps:
        if isinstance(step, PartialBlock):
            raise ExportError(
                f"{where}: '{step}' is a part of block {step.index}, and {rule}; half a block can't be left out of a "
                "saved model, so write the block whole or leave it out"
            )
        if isinstance(step, Group):
            token = format_plan(Plan((step,)))
            raise ExportError(f"{where}: '{token}' runs blocks side by side on the same input, and {rule}")
        blocks.append(step)
    for block, times in Counter(blocks).items():
        if times > 1:
            raise ExportError(f"{where}: block {block} runs {times} times, and {rule}")
    return tuple(blocks)


def _check_text(kept: Sequence[int], blocks: Sequence[nn.Module], stack: str, model: str) -> None:
    """SD3's last block gives no text: diffusers builds that kind of block at the end and nowhere else."""
    for place, index in enumerate(kept[:-1]):
        if getattr(blocks[index], "context_pre_only", False):
            raise ExportError(
                f"plan '{Plan(tuple(kept))}' over stack {stack!r} can't be saved: block {index} gives no text "
                f"(context_pre_only), so a saved {model} can only run it last, and the plan runs it at place "
                f"{place} of {len(kept)}; put it last or leave it out"
            )


def family_of(model: nn.Module) -> Family:
    """The family of a plain model. Raises ExportError."""
    name = type(model).__name__
    family = FAMILIES.get(name)
    if family is None:
        raise ExportError(f"can't save a pruned {name}: known are {', '.join(FAMILIES)}")
    if getattr(model, "is_quantized", False) or getattr(model, "hf_quantizer", None) is not None:
        raise ExportError(f"this {name} is quantised; prune the model in full precision, then quantise what was saved")
    if getattr(model, "peft_config", None):
        raise ExportError(
            f"this {name} has a LoRA on it; fuse it (pipeline.fuse_lora(), then pipeline.unload_lora_weights()) "
            "or unload it first"
        )
    if any(value.is_meta for value in model.state_dict().values()):
        raise ExportError(f"weights of this {name} are offloaded (on the meta device); load it without offloading")
    return family


def prune(model: nn.Module, family: Family, kept: Kept) -> tuple[Any, str]:
    """(the smaller model on the original's own tensors, what was converted). It is for saving, not for running."""
    whole: Any = model.config
    config = {key: value for key, value in dict(whole).items() if not key.startswith("_")}
    state: dict[str, Tensor] = dict(model.state_dict())
    converted = ""
    for stack in family.stacks:
        if stack.name not in kept:
            continue
        blocks = blocks_at(model, stack.attribute)
        config[stack.length_key] = len(kept[stack.name])
        if _DUAL in config:
            dual = set(config[_DUAL])
            config[_DUAL] = tuple(new for new, old in enumerate(kept[stack.name]) if old in dual)
        state = _renamed(state, stack.attribute, kept[stack.name])
        pre_only = [bool(getattr(block, "context_pre_only", False)) for block in blocks]
        if any(pre_only) and kept[stack.name] and not pre_only[kept[stack.name][-1]]:
            last = len(kept[stack.name]) - 1
            state = _without_text(state, f"{stack.attribute}.{last}.")
            converted = (
                f"block {kept[stack.name][-1]} is last now and gives no text: its text branch is left out, and its "
                "norm1_context holds the scale and shift alone"
            )
    with torch.device("meta"):
        pruned: Any = type(model).from_config(config)  # type: ignore[attr-defined]
    expected = pruned.state_dict()
    if expected.keys() != state.keys():
        odd = sorted(expected.keys() ^ state.keys())
        raise ExportError(
            f"the weights of this {type(model).__name__} are not those of its config ({len(odd)} names differ, "
            f"{odd[0]!r} first); remove what was added to the model and export again"
        )
    pruned.load_state_dict({k: v.contiguous() for k, v in state.items()}, strict=True, assign=True)
    return pruned, converted


def _renamed(state: Mapping[str, Tensor], attribute: str, kept: Sequence[int]) -> dict[str, Tensor]:
    """The state with the blocks of one stack numbered anew, and those that are not kept left out."""
    places = {old: new for new, old in enumerate(kept)}
    pattern = re.compile(rf"{re.escape(attribute)}\.(\d+)\.(.+)")
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        match = pattern.fullmatch(key)
        if match is None:
            out[key] = value
        elif int(match[1]) in places:
            out[f"{attribute}.{places[int(match[1])]}.{match[2]}"] = value
    return out


def _without_text(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """An ordinary SD3 block as one that gives no text.

    Its text norm makes six vectors of which only shift and scale (the first two) still have a reader; the
    norm of a last block makes those two, scale first. Each is a dot product of its own, so the values are
    bitwise the same on a CPU; a GPU may pick another kernel for another width.
    """
    norm = f"{prefix}norm1_context.linear."
    gone = (f"{prefix}ff_context.", f"{prefix}attn.to_add_out.")
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(norm):
            shift, scale, *_ = value.chunk(6)
            out[key] = torch.cat([scale, shift])
        elif not key.startswith(gone):
            out[key] = value
    return out
