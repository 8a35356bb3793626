"""A transformer's stacks of blocks, by name."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from harness.errors import SurgeryError
from harness.models.checkpoints.resolve import FAMILIES


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
    return unwrap_compiled(part)


def _is_pipeline(model: object) -> bool:
    return hasattr(model, "components")


def unwrap_compiled(transformer: nn.Module) -> nn.Module:
    """The model itself where torch.compile has wrapped it."""
    inner = getattr(transformer, "_orig_mod", transformer)
    assert isinstance(inner, nn.Module)
    return inner


def stacks(transformer: nn.Module) -> dict[str, str]:
    """Stack name -> attribute. A model outside the table has its non-empty ModuleLists of one block type each."""
    model = unwrap_compiled(transformer)
    family = FAMILIES.get(type(model).__name__)
    if family is not None:
        return {stack.name: stack.attribute for stack in family.stacks}
    # The blocks themselves: a view in a list's place gives slots.
    lists = {name: list(child.children()) for name, child in model.named_children() if isinstance(child, nn.ModuleList)}
    return {name: name for name, blocks in lists.items() if len(blocks) > 1 and len({type(b) for b in blocks}) == 1}


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
        wanted = "name one of its stacks" if stack is None else f"there is no stack {stack!r}"
        raise SurgeryError(
            f"{type(unwrap_compiled(transformer)).__name__}: {wanted}; it has {', '.join(known) or 'none'}"
        )
    return StackAttribute(stack, known[stack])
