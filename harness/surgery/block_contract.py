"""What a block returns: read from the model's own forward, so that a new diffusers can't silently change it.

FLUX's double blocks return (text, image), CogView's (image, text), and FLUX's single blocks changed from
one tensor to a pair in diffusers 0.35. A harness that guesses gets silently wrong numbers. So the loop over
the stack is read as syntax (:mod:`harness.surgery.block_loops`), and what depends on the loop's index belongs either to
the block or to the position, by the rules at the end of this file (docs/models.md says why, model by model).
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from torch import nn

from harness.errors import SurgeryError
from harness.models.declared_stacks import declared_stacks
from harness.models.stacks import blocks_at
from harness.surgery.block_loops import BlockCall, block_calls


@dataclass(frozen=True)
class BlockContract:
    """How the blocks of a stack are called.

    ``outputs`` are the block's parameters that its outputs replace, in the order of return; ``single`` is True where
    the block returns one bare tensor and no tuple. ``by_block`` are the parameters whose argument belongs to the block:
    a block that runs at another position gets what the model passes at the block's own (modulation, masks, caches by
    index). ``fixed`` says why blocks can't run anywhere but at their own position; empty where they can.
    """

    outputs: tuple[str, ...]
    single: bool
    by_block: tuple[str, ...] = ()
    fixed: str = ""


def contract(model: nn.Module, attribute: str) -> BlockContract:
    """The contract of the stack ``model.<attribute>``: the declared one, else the one that the source shows.

    Raises SurgeryError where the source doesn't tell.
    """
    declared = declared_stacks(model).get(attribute)
    if declared is not None:
        return BlockContract(declared.outputs, declared.single, declared.by_block)
    block_type = type(next(iter(blocks_at(model, attribute)._modules.values())))  # noqa: SLF001 - not through a view
    parameters = tuple(inspect.signature(block_type.forward).parameters)[1:]
    kind: Any = type(model)  # hashable, which its type doesn't say
    return _read(kind, attribute, parameters)


@cache
def _read(model: type[Any], attribute: str, parameters: tuple[str, ...]) -> BlockContract:
    """The contract that a model's forward shows; read once, as parsing it takes milliseconds."""
    name = model.__name__
    calls: set[BlockCall] = set()
    try:
        for function in _functions(model):
            calls |= set(block_calls(_tree(function), attribute, parameters))
    except (OSError, TypeError, SyntaxError) as error:
        raise SurgeryError(_refusal(name, attribute, f"its source can't be read ({error})")) from None
    for dropped in sorted(name for call in calls for name in call.dropped):
        raise SurgeryError(
            f"the blocks of {name}.{attribute} also return {dropped!r}, which the next block doesn't take: where a "
            "block is left out there would be none, so no plan is defined over this stack"
        )
    shown = {(call.outputs, call.single) for call in calls}
    if not shown:
        raise SurgeryError(_refusal(name, attribute, "its forward has no loop that calls them one after another"))
    if len(shown) > 1:
        raise SurgeryError(_refusal(name, attribute, f"its forward shows {len(shown)} ways of calling a block"))
    outputs, single = shown.pop()
    rule = RULES.get(name, {}).get(attribute, _Rule())
    by_block = tuple(p for p in parameters if any(p in call.by_index for call in calls) and p not in rule.by_position)
    put_together = [p for p in outputs if p in by_block]
    fixed = rule.fixed
    if put_together and not fixed:
        fixed = f"{' and '.join(put_together)} is put together anew for each position"
    return BlockContract(outputs, single, () if fixed else by_block, fixed)


def _refusal(name: str, attribute: str, reason: str) -> str:
    return (
        f"can't tell what the blocks of {name}.{attribute} return: {reason}; its forward must call them in a plain "
        "loop, like 'for block in self.blocks: x = block(x)', or the stack be declared: "
        f'declare_stack({name}, {attribute!r}, outputs=("x",), single=True)'
    )


def _functions(model: type[nn.Module]) -> Iterator[Callable[..., Any]]:
    """``forward``, and the methods that it calls, and those that they call."""
    waiting, known = ["forward"], {"forward"}
    while waiting:
        function = inspect.unwrap(inspect.getattr_static(model, waiting.pop(), None))
        if not inspect.isfunction(function):
            continue
        yield function
        called = {
            node.func.attr
            for node in ast.walk(_tree(function))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "self"
        }
        # What nn.Module has by itself calls no blocks.
        fresh = sorted(called - known - set(dir(nn.Module)))
        known |= set(fresh)
        waiting += fresh


@cache
def _tree(function: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


class _Rule(NamedTuple):
    """What syntax can't tell of a stack: arguments by index that stay at their position, or why no block can move."""

    by_position: tuple[str, ...] = ()
    fixed: str = ""


# What depends on the index belongs to the block unless it says otherwise here.
RULES: Mapping[str, Mapping[str, _Rule]] = {
    # A ControlNet's residuals stay where they are, as those that a model adds between its blocks do.
    "CosmosTransformer3DModel": {"transformer_blocks": _Rule(by_position=("controlnet_residual",))},
    # Positions in time are added ahead of the first temporal block, whichever that is.
    "LatteTransformer3DModel": {"temporal_transformer_blocks": _Rule(by_position=("hidden_states",))},
    "HunyuanDiT2DModel": {
        "blocks": _Rule(
            fixed="blocks of the second half take the output of one in the first half, by position (long skips)"
        )
    },
}
