"""The blocks that a plan leaves out, as the lists that trainers and user interfaces of others read.

Each format was checked against the code of the tool that reads it, at the version that its ``source`` names. What could
not be checked isn't here: SD3 in ComfyUI, LayerSync for SD3 in SimpleTuner. diffusers' ``LayerSkipConfig`` is left out
because it can be checked: on these three transformers it gives wrong numbers or none (tests/surgery).
Nothing here needs weights, or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from harness.ablation.plan import Plan, as_plan
from harness.errors import ExportError
from harness.models.checkpoints.cases import plan_of
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.spec import AURAFLOW, FLUX, SD3, Family

_ROUTED_SHARE = 0.5  # of the image tokens go around a TREAD route; SimpleTuner's own examples use it
_FLUX, _SD3, _AURAFLOW = FLUX.transformer, SD3.transformer, AURAFLOW.transformer


@dataclass(frozen=True)
class BlockLists:
    """A plan over a whole transformer: by stack, its number of blocks, those that stay and those that are left out."""

    checkpoint: str
    family: Family
    lengths: Mapping[str, int]
    kept: Mapping[str, tuple[int, ...]]

    @property
    def left_out(self) -> dict[str, tuple[int, ...]]:
        """The blocks that are left out, by stack; stacks that lose none are not in it."""
        gone = {name: tuple(sorted(set(range(n)) - set(self.kept[name]))) for name, n in self.lengths.items()}
        return {name: blocks for name, blocks in gone.items() if blocks}

    def starts(self) -> dict[str, int]:
        """The number of each stack's first block, counted through all stacks."""
        return dict(zip(self.lengths, accumulate(self.lengths.values(), initial=0), strict=False))

    def runs(self) -> list[tuple[int, int]]:
        """First and last of every run of neighbours that are left out, counted through all stacks; none spans two."""
        runs: list[tuple[int, int]] = []
        for stack, blocks in self.left_out.items():
            for block in blocks:
                number = self.starts()[stack] + block
                if runs and runs[-1][1] == number - 1 and block:
                    runs[-1] = (runs[-1][0], number)
                else:
                    runs.append((number, number))
        return runs


def block_lists(checkpoint: Checkpoint, plans: Sequence[str]) -> BlockLists:
    """The lists of plans like ``"double: 0 2-4"``; stacks without one keep all blocks.

    Raises PlanError or CaseError for a plan or stack that doesn't fit, ExportError for a plan that does anything but
    leave blocks out, for two plans of a stack, and where nothing is left out.
    """
    kept = {stack: tuple(range(length)) for stack, length in checkpoint.stacks.items()}
    planned: set[str] = set()
    for text in plans:
        plan, stack = plan_of(checkpoint, text)
        if stack in planned:
            raise ExportError(f"two plans for stack {stack!r}; write them as one")
        planned.add(stack)
        kept[stack] = _subset(as_plan(plan, checkpoint.stacks[stack], stack).normal(), stack)
    lists = BlockLists(checkpoint.name, checkpoint.family, dict(checkpoint.stacks), kept)
    if not lists.left_out:
        raise ExportError("the plans leave no block out, so there is nothing to list")
    return lists


def _subset(plan: Plan, stack: str) -> tuple[int, ...]:
    blocks = tuple(step for step in plan.steps if isinstance(step, int))
    if len(blocks) < len(plan.steps) or list(blocks) != sorted(set(blocks)):
        raise ExportError(
            f"plan '{plan}' over stack {stack!r} reorders, repeats or runs blocks side by side; other tools' lists "
            "only say which blocks are left out"
        )
    return blocks


@dataclass(frozen=True)
class ToolFormat:
    """One tool's format: ``write`` makes its fields, by transformer class; ``source`` is the code that reads them."""

    title: str
    source: str
    write: Mapping[str, Callable[[BlockLists], dict[str, Any]]]


def in_format(lists: BlockLists, tool: str) -> dict[str, Any]:
    """The fields of a tool, with what they are and where they were checked. Raises ExportError for a family without."""
    known = FORMATS[tool]
    write = known.write.get(lists.family.transformer)
    if write is None:
        raise ExportError(
            f"for {tool} there is no checked format for {lists.family.transformer}; there is one for "
            f"{', '.join(known.write)}"
        )
    return {
        "for": known.title,
        "checked_against": known.source,
        "checkpoint": lists.checkpoint,
        "left_out": {stack: str(Plan(blocks)) for stack, blocks in lists.left_out.items()},
        **write(lists),
    }


def _student(lists: BlockLists) -> dict[str, Any]:
    """What a student of fewer blocks is initialised from."""
    stacks = {stack.name: stack for stack in lists.family.stacks}
    return {
        "config": {stacks[name].length_key: len(blocks) for name, blocks in lists.kept.items()},
        "kept": {name: list(blocks) for name, blocks in lists.kept.items()},
        "weights": {
            f"{stacks[name].attribute}.{new}.": f"{stacks[name].attribute}.{old}."
            for name, blocks in lists.kept.items()
            for new, old in enumerate(blocks)
        },
    }


def _indices(blocks: Sequence[int], length: int) -> str:
    """``0,2-4`` as kohya reads it."""
    if not blocks:
        return "none"
    return "all" if len(blocks) == length else str(Plan(tuple(blocks))).replace(" ", ",")


def _kohya_flux(lists: BlockLists) -> dict[str, Any]:
    """A LoRA on the blocks that stay. The tool numbers 19 double and 38 single blocks, whatever the file has."""
    chosen = {
        f"train_{name}_block_indices": _indices(blocks, lists.lengths[name]) for name, blocks in lists.kept.items()
    }
    return {"network_module": "networks.lora_flux", "network_args": [f"{k}={v}" for k, v in chosen.items()]}


def _kohya_sd3(lists: BlockLists) -> dict[str, Any]:
    (name,) = lists.lengths
    chosen = _indices(lists.kept[name], lists.lengths[name])
    return {"network_module": "networks.lora_sd3", "network_args": [f"train_block_indices={chosen}"]}


def _ai_toolkit(lists: BlockLists) -> dict[str, Any]:
    """A LoRA on the blocks that stay. Names are searched as substrings: the dots keep block 1 apart from block 10."""
    names = {stack.name: stack.attribute for stack in lists.family.stacks}
    words = [f"transformer.{names[name]}.{block}." for name, blocks in lists.kept.items() for block in blocks]
    return {"network": {"network_kwargs": {"only_if_contains": words}}}


def _tread(lists: BlockLists) -> dict[str, Any]:
    """Half of the image tokens go around every run of blocks that is left out; both ends of a route are inside it."""
    return {
        "tread_config": {
            "routes": [
                {"selection_ratio": _ROUTED_SHARE, "start_layer_idx": first, "end_layer_idx": last}
                for first, last in lists.runs()
            ]
        }
    }


def _layersync(lists: BlockLists) -> dict[str, Any]:
    """The block before the longest run learns what the block after it gives; the tool counts from 1 first."""
    starts = set(lists.starts().values())
    ends = {start + length - 1 for start, length in zip(lists.starts().values(), lists.lengths.values(), strict=True)}
    inside = [run for run in lists.runs() if run[0] not in starts and run[1] not in ends]
    if not inside:
        return {}
    first, last = max(inside, key=lambda run: run[1] - run[0])
    return {
        "layersync_enabled": True,
        "layersync_student_block": first,  # the block first - 1, counted from 1
        "layersync_teacher_block": last + 2,  # the block last + 1, counted from 1
    }


def _simpletuner_sd3(lists: BlockLists) -> dict[str, Any]:
    (blocks,) = lists.left_out.values()
    return {**_tread(lists), "validation_guidance_skip_layers": str(list(blocks))}


def _simpletuner(lists: BlockLists) -> dict[str, Any]:
    return {**_tread(lists), **_layersync(lists)}


def _diffusers_sd3(lists: BlockLists) -> dict[str, Any]:
    """Skip-layer guidance of StableDiffusion3Pipeline's call."""
    (blocks,) = lists.left_out.values()
    return {"pipeline_call": {"skip_guidance_layers": list(blocks)}}


def _comfyui(lists: BlockLists) -> dict[str, Any]:
    """Inputs of the node SkipLayerGuidanceDiT, and the keys under which a node of one's own replaces blocks."""
    gone = {name: lists.left_out.get(name, ()) for name in lists.lengths}
    return {
        "SkipLayerGuidanceDiT": {f"{name}_layers": ", ".join(map(str, blocks)) for name, blocks in gone.items()},
        "patches_replace": {"dit": [[f"{name}_block", block] for name, blocks in gone.items() for block in blocks]},
    }


FORMATS = {
    "student": ToolFormat(
        "a student's first weights: 'weights' maps the names that it has to those of the whole model",
        "diffusers' own names of weights, as `export` saves them",
        dict.fromkeys((_FLUX, _SD3, _AURAFLOW), _student),
    ),
    "diffusers": ToolFormat(
        "diffusers: arguments of the pipeline's call",
        "the installed diffusers, by a test: skip_layers gives bitwise what the plan gives",
        {_SD3: _diffusers_sd3},
    ),
    "simpletuner": ToolFormat(
        "SimpleTuner: entries of config.json",
        "bghira/SimpleTuner, simpletuner/helpers: models/flux/transformer.py at 114982805c36, "
        "models/auraflow/transformer.py at 2e018b584b83, models/sd3/transformer.py at 1702e95525c9, "
        "training/layersync.py at 0360f9bdaa71, training/validation.py (skip layers of SD3; a copy without its commit)",
        {_FLUX: _simpletuner, _AURAFLOW: _simpletuner, _SD3: _simpletuner_sd3},
    ),
    "kohya": ToolFormat(
        "kohya-ss/sd-scripts: --network_module and --network_args of a LoRA on the blocks that stay",
        "kohya-ss/sd-scripts, networks/lora_flux.py at 450630c6bda1, networks/lora_sd3.py at ce5b53258295",
        {_FLUX: _kohya_flux, _SD3: _kohya_sd3},
    ),
    "ai-toolkit": ToolFormat(
        "ai-toolkit: 'network' of a job's YAML, for a LoRA on the blocks that stay",
        "ostris/ai-toolkit, toolkit/lora_special.py at a6c70a759503",
        dict.fromkeys((_FLUX, _SD3, _AURAFLOW), _ai_toolkit),
    ),
    "comfyui": ToolFormat(
        "ComfyUI: inputs of the node SkipLayerGuidanceDiT, and keys of transformer_options['patches_replace']",
        "comfyanonymous/ComfyUI, comfy_extras/nodes_slg.py at 0c853f330c16, comfy/ldm/flux/model.py at 040a3243468e, "
        "comfy/ldm/aura/mmdit.py at c828fdcf0c11",
        {_FLUX: _comfyui, _AURAFLOW: _comfyui},
    ),
}
