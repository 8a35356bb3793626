"""How a model's source calls the blocks of a stack: the loops over the stack, read as syntax.

In ``a, b = block(x=b, y=a)`` the names on both sides say which output feeds which argument of the next block. What
depends on the loop's index (``block(x, cache[i])``, a slice, a running counter) is noted by parameter: such data
belongs to a block or to a position, and which of both it is no syntax tells.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BlockCall:
    """One way in which a loop calls a block.

    ``outputs`` are the block's parameters that its outputs replace, in the order of return; ``single`` is True where it
    returns one bare tensor; ``by_index`` are the parameters whose argument depends on the loop's index; ``dropped`` are
    names of outputs that no next block takes.
    """

    outputs: tuple[str, ...]
    single: bool
    by_index: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def block_calls(tree: ast.AST, path: str, parameters: Sequence[str]) -> Iterator[BlockCall]:
    """Every call of a block of ``self.<path>`` in a loop over it, in one function.

    ``parameters`` are the names of the block's parameters in their order.
    """
    aliases = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_list(node.value, path)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For):
            names = _loop_names(loop, path, aliases)
            if names is not None:
                yield from _calls(loop, *names, parameters)


def _is_list(node: ast.expr, path: str) -> bool:
    """``self.blocks``, or ``self.blocks["image"]`` where the path is ``blocks.image``."""
    head, _, key = path.rpartition(".")
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == key and _is_list(node.value, head)
    if not isinstance(node, ast.Attribute) or node.attr != (key or path):
        return False
    return _is_list(node.value, head) if head else isinstance(node.value, ast.Name)


def _loop_names(loop: ast.For, path: str, aliases: set[str]) -> tuple[str, set[str]] | None:
    """The names of the block and of what counts, where a loop is over the stack; else None."""
    pairs = _pairs(loop.target, loop.iter)
    blocks = [
        target.id
        for target, source in pairs
        if isinstance(target, ast.Name)
        and source is not None
        and (_is_list(source, path) or (isinstance(source, ast.Name) and source.id in aliases))
    ]
    if len(blocks) != 1:
        return None
    counted = {target.id for target, source in pairs if source is None and isinstance(target, ast.Name)}
    counted |= {n.target.id for n in ast.walk(loop) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}
    return blocks[0], counted


def _pairs(target: ast.expr, source: ast.expr) -> list[tuple[ast.expr, ast.expr | None]]:
    """What a loop's names stand for: (name, list), and (name, None) for the index of ``enumerate``."""
    if isinstance(source, ast.Subscript) and isinstance(source.slice, ast.Slice):
        return _pairs(target, source.value)
    if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and isinstance(target, ast.Tuple):
        if source.func.id == "enumerate":
            return [(target.elts[0], None), *_pairs(target.elts[1], source.args[0])]
        if source.func.id == "zip":
            return [p for t, s in zip(target.elts, source.args, strict=False) for p in _pairs(t, s)]
    return [(target, source)]


@dataclass(frozen=True)
class _Assigned:
    """One assignment in a loop: the name that it changes, and what it depends on, the conditions around it too."""

    name: str
    value: ast.expr
    reads: frozenset[str]
    line: int


def _calls(loop: ast.For, block: str, counted: set[str], parameters: Sequence[str]) -> Iterator[BlockCall]:
    assigned = list(_assignments(loop.body, frozenset()))
    tuples = {a.name: a.value for a in assigned if isinstance(a.value, ast.Tuple)}
    for node in ast.walk(loop):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
            continue
        for call, first_of_tuple in _results(node.value):
            arguments = _arguments(call, block, parameters, tuples)
            if arguments is None:
                continue
            target = node.targets[0]
            names = [ast.unparse(part) for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
            before = [a for a in assigned if a.line < node.lineno and block not in a.reads]
            indexed = _depending(before, counted)
            fed = [_parameter_of(name, arguments, before) for name in names]
            yield BlockCall(
                outputs=tuple(p for p in fed if p is not None),
                single=not isinstance(target, ast.Tuple) and not first_of_tuple,
                by_index=tuple(p for p, value in arguments.items() if _names(value) & indexed),
                dropped=tuple(name for name, p in zip(names, fed, strict=True) if p is None),
            )


def _results(value: ast.expr) -> list[tuple[ast.Call, bool]]:
    """The calls whose result an assignment takes, and whether it takes only the first of a tuple."""
    if isinstance(value, ast.Call):
        return [(value, False)]
    if isinstance(value, ast.IfExp):
        return [*_results(value.body), *_results(value.orelse)]
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant) and value.slice.value == 0:
        return [(call, True) for call, _ in _results(value.value)]
    return []


def _assignments(body: Sequence[ast.stmt], conditions: frozenset[str]) -> Iterator[_Assigned]:
    for node in body:
        if isinstance(node, ast.If):
            inner = conditions | _names(node.test)
            yield from _assignments(node.body, inner)
            yield from _assignments(node.orelse, inner)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                    reads = frozenset(_names(node.value) | conditions | _names_of_slice(part))
                    yield _Assigned(_base_name(part), node.value, reads, node.lineno)


def _names_of_slice(target: ast.expr) -> set[str]:
    return _names(target.slice) if isinstance(target, ast.Subscript) else set()


def _base_name(target: ast.expr) -> str:
    """``kwargs`` of ``kwargs["cache"] = ...``."""
    while isinstance(target, ast.Subscript | ast.Attribute | ast.Starred):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""


def _depending(assigned: Sequence[_Assigned], counted: set[str]) -> set[str]:
    """The names whose value depends on what counts, through any number of assignments in their order."""
    reached = set(counted)
    for assignment in assigned:
        if assignment.reads & reached:
            reached.add(assignment.name)
    return reached


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _arguments(
    call: ast.Call, block: str, parameters: Sequence[str], tuples: Mapping[str, ast.Tuple]
) -> dict[str, ast.expr] | None:
    """The argument of each of the block's parameters, where ``call`` runs a block; else None."""
    positional = list(call.args)
    if not _is_block(call.func, block):  # self._gradient_checkpointing_func(block, x, y)
        if not (positional and _is_block(positional[0], block)):
            return None
        positional = positional[1:]
    flat: list[ast.expr] = []
    for argument in positional:
        if isinstance(argument, ast.Starred):
            packed = tuples.get(argument.value.id) if isinstance(argument.value, ast.Name) else None
            if packed is None:
                break
            flat += packed.elts
        else:
            flat.append(argument)
    passed = dict(zip(parameters, flat, strict=False))
    return passed | {k.arg: k.value for k in call.keywords if k.arg}


def _is_block(node: ast.expr, block: str) -> bool:
    if isinstance(node, ast.Attribute) and node.attr in ("__call__", "forward"):
        node = node.value
    return isinstance(node, ast.Name) and node.id == block


def _parameter_of(name: str, arguments: Mapping[str, ast.expr], assigned: Sequence[_Assigned]) -> str | None:
    """The parameter that takes an output: as it is, or, where only one does, put together with something else."""
    direct = [p for p, value in arguments.items() if isinstance(value, ast.Name) and value.id == name]
    if direct:
        return direct[0]
    made_of_it = {a.name for a in assigned if name in a.reads}
    parts = [p for p, value in arguments.items() if isinstance(value, ast.Name) and value.id in made_of_it]
    return parts[0] if len(parts) == 1 else None
