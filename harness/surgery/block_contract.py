"""What a block returns: read from the model's own forward, so that a new diffusers can't silently change it.

FLUX's double blocks return (text, image), CogView's (image, text), and FLUX's single blocks changed from
one tensor to a pair in diffusers 0.35. A harness that guesses gets silently wrong numbers. So the loop over
the stack is read as syntax: in ``a, b = block(x=b, y=a)`` the names on both sides say which output feeds
which argument of the next block.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn

from harness.errors import SurgeryError


@dataclass(frozen=True)
class BlockContract:
    """``outputs`` are the block's parameters that its outputs replace, in the order of return.

    ``single`` is True where the block returns one bare tensor and no tuple.
    """

    outputs: tuple[str, ...]
    single: bool


# Blocks that read data by their position (modulation sliced by index, long skips, side modules): until a
# rule says whether that data stays with the position or travels with the block, a plan has no meaning.
_POSITIONAL = {
    "ChromaTransformer2DModel": "modulation is sliced by block index",
    "HunyuanDiT2DModel": "long skips connect blocks by index",
    "HiDreamImageTransformer2DModel": "each block has its own text input",
    "BriaFiboTransformer2DModel": "each block has its own text input",
    "LatteTransformer3DModel": "spatial and temporal blocks run in pairs",
    "ConsisIDTransformer3DModel": "side modules hang on every k-th block",
    "WanAnimateTransformer3DModel": "side modules hang on every k-th block",
    "WanVACETransformer3DModel": "side modules hang on chosen blocks",
}


def contract(model: nn.Module, attribute: str) -> BlockContract:
    """The contract of the stack ``model.<attribute>``.

    Raises SurgeryError where the source doesn't tell, or where the blocks depend on their position.
    """
    name = type(model).__name__
    if name in _POSITIONAL:
        raise SurgeryError(
            f"the blocks of {name} depend on their position ({_POSITIONAL[name]}), so rearranging them has no "
            "defined meaning; only models whose blocks stand for themselves can be ablated"
        )
    block_type = type(next(iter(getattr(model, attribute))))
    parameters = tuple(inspect.signature(block_type.forward).parameters)[1:]
    return _read(inspect.unwrap(type(model).forward), attribute, parameters, name)


@cache
def _read(forward: Callable[..., Any], attribute: str, parameters: tuple[str, ...], name: str) -> BlockContract:
    """The contract that a model's forward shows; read once, as parsing it takes milliseconds."""
    try:
        source = textwrap.dedent(inspect.getsource(forward))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError) as error:
        contracts: set[BlockContract] = set()
        reason = f"its source can't be read ({error})"
    else:
        contracts = set(_contracts(tree, attribute, parameters))
        reason = f"its forward shows {len(contracts)} ways of calling a block"
    if len(contracts) == 1:
        return contracts.pop()
    raise SurgeryError(
        f"can't tell what the blocks of {name}.{attribute} return: {reason}; its forward must call them in a plain "
        "loop, like 'for block in self.blocks: x = block(x)'"
    )


def _contracts(tree: ast.AST, attribute: str, parameters: tuple[str, ...]) -> Iterator[BlockContract]:
    for loop in ast.walk(tree):
        if not (isinstance(loop, ast.For) and _reads_attribute(loop.iter, attribute)):
            continue
        names = {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
        for node in ast.walk(loop):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.value, ast.Call):
                arguments = _arguments(node.value, names, parameters)
                if arguments is not None:
                    matched = _match(node.targets[0], arguments)
                    if matched is not None:
                        yield matched


def _reads_attribute(node: ast.AST, attribute: str) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == attribute for n in ast.walk(node))


def _arguments(call: ast.Call, blocks: set[str], parameters: tuple[str, ...]) -> dict[str, str] | None:
    """Variable name -> the parameter it is passed to, where ``call`` runs a block; else None."""
    positional = list(call.args)
    direct = isinstance(call.func, ast.Name) and call.func.id in blocks
    if not direct:  # self._gradient_checkpointing_func(block, x, y)
        if not (positional and isinstance(positional[0], ast.Name) and positional[0].id in blocks):
            return None
        positional = positional[1:]
    passed = {
        argument.id: parameter
        for argument, parameter in zip(positional, parameters, strict=False)
        if isinstance(argument, ast.Name)
    }
    passed |= {k.value.id: k.arg for k in call.keywords if k.arg and isinstance(k.value, ast.Name)}
    return passed


def _match(target: ast.expr, arguments: dict[str, str]) -> BlockContract | None:
    single = isinstance(target, ast.Name)
    parts = [target] if single else target.elts if isinstance(target, ast.Tuple) else []
    names = [part.id for part in parts if isinstance(part, ast.Name)]
    if not names or len(names) != len(parts) or not all(name in arguments for name in names):
        return None
    return BlockContract(tuple(arguments[name] for name in names), single)
