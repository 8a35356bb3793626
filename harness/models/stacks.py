"""A transformer's stacks of blocks, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from harness.errors import SurgeryError
from harness.models.checkpoints.resolve import FAMILIES
from harness.models.declared_stacks import declared_stacks
from harness.spelling import did_you_mean


def transformer_of(model: object) -> nn.Module:
    """The transformer itself, of a pipeline or of a model that torch.compile has wrapped.

    Raises SurgeryError where there is none, saying what to pass.
    """
    part = model if isinstance(model, nn.Module) else getattr(model, "transformer", None)
    if not isinstance(part, nn.Module):
        lacks = " without a transformer, and only diffusion transformers are ablated" if _is_pipeline(model) else ""
        raise SurgeryError(
            f"expected a diffusers transformer or a pipeline that has one, not a {type(model).__name__}{lacks}; "
            'write ablate(pipeline.transformer, "double: 0-1 3-4") with pipeline = load("flux-tiny")'
        )
    if part is not model and isinstance(getattr(model, "transformer_2", None), nn.Module):
        raise SurgeryError(
            f"a {type(model).__name__} has two transformers, each for a part of the steps, and a plan over one "
            "would hold in that part alone; pass pipeline.transformer or pipeline.transformer_2, or nest both"
        )
    return unwrap_compiled(part)


def _is_pipeline(model: object) -> bool:
    return hasattr(model, "components")


def unwrap_compiled(transformer: nn.Module) -> nn.Module:
    """The model itself where torch.compile has wrapped it."""
    inner = getattr(transformer, "_orig_mod", transformer)
    assert isinstance(inner, nn.Module)
    return inner


def stacks(transformer: nn.Module) -> dict[str, str]:
    """Stack name -> attribute, which has a dot where the list is in a ModuleDict (``mode_blocks.image``).

    A model outside the table has its ModuleLists of two blocks or more, of one type each, and what was declared of it.
    """
    model = unwrap_compiled(transformer)
    family = FAMILIES.get(type(model).__name__)
    if family is not None:
        return {stack.name: stack.attribute for stack in family.stacks}
    # By the modules themselves: a view that stands in a list's place iterates over other things.
    kinds = {path: [type(block) for block in child._modules.values()] for path, child in _lists(model)}  # noqa: SLF001
    paths = [path for path, types in kinds.items() if len(types) > 1 and len(set(types)) == 1]
    return {path: path for path in dict.fromkeys([*paths, *declared_stacks(model)])}


def _lists(model: nn.Module) -> Iterator[tuple[str, nn.ModuleList]]:
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            yield name, child
        elif isinstance(child, nn.ModuleDict):
            yield from ((f"{name}.{key}", inner) for key, inner in child.items() if isinstance(inner, nn.ModuleList))


def blocks_at(transformer: nn.Module, attribute: str) -> nn.ModuleList:
    """The list at a stack's attribute, or the view that stands in its place."""
    model = unwrap_compiled(transformer)
    try:
        blocks = model.get_submodule(attribute)
    except AttributeError:
        raise SurgeryError(f"{type(model).__name__} has no {attribute!r}") from None
    if not isinstance(blocks, nn.ModuleList):
        raise SurgeryError(f"{type(model).__name__}.{attribute} is no ModuleList but a {type(blocks).__name__}")
    return blocks


def put_blocks(transformer: nn.Module, attribute: str, blocks: nn.ModuleList) -> None:
    """Put a list at a stack's attribute."""
    owner, _, leaf = attribute.rpartition(".")
    setattr(unwrap_compiled(transformer).get_submodule(owner), leaf, blocks)


def diffusers_names(transformer: nn.Module) -> dict[str, str]:
    """The name of each stack in diffusers (the attribute) -> its name here."""
    return {attribute: name for name, attribute in stacks(transformer).items()}


class StackAttribute(NamedTuple):
    """A stack's name in plans, and the transformer's attribute that holds its blocks."""

    name: str
    attribute: str


def find_stack(transformer: nn.Module, stack: str | None) -> StackAttribute:
    """A stack by its name here or in diffusers; None picks the only one. Raises SurgeryError naming what there is."""
    known = stacks(transformer)
    stack = None if stack is None else diffusers_names(transformer).get(stack, stack)
    if stack is None and len(known) == 1:
        return StackAttribute(*next(iter(known.items())))
    if stack not in known:
        wanted = (
            "name one of its stacks" if stack is None else f"there is no stack {stack!r}{did_you_mean(stack, known)}"
        )
        raise SurgeryError(
            f"{type(unwrap_compiled(transformer)).__name__}: {wanted}; it has {', '.join(known) or 'none'}"
        )
    return StackAttribute(stack, known[stack])
