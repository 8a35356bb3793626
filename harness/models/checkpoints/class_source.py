"""Classes of the installed diffusers, read as source: what a pipeline's call takes, without importing torch.

Ids are made at collection, where torch isn't loaded, so a pipeline that has no entry in the table of families is judged
by its source: the parameters of ``__call__``, what ``encode_prompt`` returns, and the transformer's lists of blocks.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

# Where diffusers keeps them. Modular pipelines stand elsewhere, and nothing here reads those.
_PIPELINES = "pipelines"
_TRANSFORMERS = "models/transformers"
# What both passes of guidance in one forward look like in a pipeline's call: without the prompt, then with it.
_ONE_FORWARD = "torch.cat([negative_prompt_embeds, prompt_embeds]"


_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
_MORE_PASSES = "pag_scale"  # perturbed-attention guidance has a third pass


class ListSource(NamedTuple):
    """A list of a transformer's blocks: its attribute, the config key that holds its length, and the blocks' class."""

    attribute: str
    length_key: str
    block: str


@dataclass(frozen=True)
class PipelineSource:
    """What the source of a pipeline's class says.

    ``parameters`` are those of ``__call__`` with their defaults; a default that is no constant, or none, is None.
    ``required`` are those without a default, and ``listed`` those that take a list with one tensor a prompt.
    ``returned`` are the names of what ``encode_prompt`` returns, in order, and ``prepares`` the parameters of
    ``prepare_latents``; None where it has no such method. ``one_forward`` says that both passes of classifier-free
    guidance run in one forward, the one without the prompt first. ``transformer`` is the class that ``__init__``
    expects, empty where it names none.
    """

    parameters: Mapping[str, object]
    required: frozenset[str]
    returned: tuple[str, ...] | None
    prepares: tuple[str, ...] | None
    one_forward: bool
    listed: frozenset[str]
    transformer: str = ""

    @property
    def guidance(self) -> str:
        """The parameter of ``__call__`` that is the scale of guidance; empty where there is none."""
        names = ("true_cfg_scale", "guidance_scale", "distilled_guidance_scale")
        return next((name for name in names if name in self.parameters), "")


@cache
def pipeline_source(kind: str) -> PipelineSource | None:
    """What is known of a pipeline class by its name; None where the installed diffusers has none of that name."""
    methods = _methods(kind, _PIPELINES)
    call = methods.get("__call__")
    if call is None:
        return None
    parameters = _defaults(call)
    encode, prepare = methods.get("encode_prompt"), methods.get("prepare_latents")
    return PipelineSource(
        {name: default.value if isinstance(default, ast.Constant) else None for name, default in parameters.items()},
        frozenset(name for name, default in parameters.items() if default is None),
        None if encode is None else _returned(encode),
        None if prepare is None else tuple(_defaults(prepare)),
        _ONE_FORWARD in ast.unparse(call) and _MORE_PASSES not in parameters,
        frozenset(a.arg for a in call.args.args if a.annotation and _is_list(a.annotation)),
        _annotated(methods.get("__init__"), "transformer"),
    )


@cache
def block_lists(transformer: str) -> tuple[ListSource, ...]:
    """The lists of blocks of a transformer class, in the order in which its forward runs them.

    A list counts where ``__init__`` builds it for every config from a number that is in the config
    (``nn.ModuleList([Block(...) for _ in range(num_layers)])``) and ``forward`` has a loop over it.
    """
    methods = _methods(transformer, _TRANSFORMERS)
    init, forward = methods.get("__init__"), methods.get("forward")
    if init is None or forward is None:
        return ()
    built = {found.attribute: found for statement in init.body if (found := _list(statement)) is not None}
    keys = _defaults(init)
    run = [
        node.attr
        for loop in _loops(forward)
        for node in ast.walk(loop.iter)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    ]
    return tuple(built[name] for name in dict.fromkeys(run) if name in built and built[name].length_key in keys)


def _annotated(function: ast.FunctionDef | None, parameter: str) -> str:
    """The class that a parameter is annotated with; empty where it isn't one class by name."""
    arguments = [] if function is None else function.args.args
    annotations = [argument.annotation for argument in arguments if argument.arg == parameter]
    return next((node.id for node in annotations if isinstance(node, ast.Name)), "")


def _is_list(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).lower().startswith("list[torch")


def _loops(function: ast.FunctionDef) -> Iterator[ast.For]:
    """The for loops of a function in the order in which they are written."""
    loops = [node for node in ast.walk(function) if isinstance(node, ast.For)]
    return iter(sorted(loops, key=lambda loop: loop.lineno))


def _list(statement: ast.stmt) -> ListSource | None:
    """The list that a statement of ``__init__`` builds, where it is one of blocks of one class."""
    match statement:
        case ast.Assign(
            targets=[ast.Attribute(value=ast.Name(id="self"), attr=attribute)],
            value=ast.Call(
                func=ast.Attribute(attr="ModuleList"),
                args=[
                    ast.ListComp(
                        elt=ast.Call(func=ast.Name(id=block)),
                        generators=[ast.comprehension(iter=ast.Call(func=ast.Name(id="range"), args=[length]))],
                    )
                ],
            ),
        ):
            return ListSource(attribute, _last_name(length), block)
    return None


def _last_name(node: ast.expr) -> str:
    """``num_layers`` of ``num_layers`` and of ``self.config.num_layers``; empty for anything else."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _defaults(function: ast.FunctionDef) -> dict[str, ast.expr | None]:
    """The parameters of a method behind ``self`` with their defaults; None for those without."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][1:]
    given: list[ast.expr | None] = list(arguments.defaults)
    positional = [*[None] * (len(names) - len(given)), *given]
    keywords = {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)}
    return dict(zip(names, positional[-len(names) :] if names else [], strict=True)) | keywords


def _returned(encode: ast.FunctionDef) -> tuple[str, ...]:
    """The names of what a method returns at its end; empty for a part that is no name: ``x.to(device)`` is ``x``."""
    ends = [node.value for node in ast.walk(encode) if isinstance(node, ast.Return) and node.value is not None]
    if not ends:
        return ()
    last = max(ends, key=lambda end: end.lineno)
    return tuple(_first_name(part) for part in (last.elts if isinstance(last, ast.Tuple) else [last]))


def _first_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Call | ast.IfExp):
        node = node.func if isinstance(node, ast.Call) else node.body if isinstance(node, ast.IfExp) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _methods(kind: str, folder: str) -> dict[str, ast.FunctionDef]:
    """The methods of a class by name, those of its bases in diffusers included."""
    definition = _definition(kind, folder)
    if definition is None:
        return {}
    methods: dict[str, ast.FunctionDef] = {}
    for base in reversed(definition.bases):
        if isinstance(base, ast.Name) and base.id != "DiffusionPipeline":
            methods |= _methods(base.id, folder)
    return methods | {node.name: node for node in definition.body if isinstance(node, ast.FunctionDef)}


@cache
def _definition(kind: str, folder: str) -> ast.ClassDef | None:
    """The definition of a class of that name somewhere under a folder of diffusers."""
    path = _files_of_classes(folder).get(kind)
    nodes = [] if path is None else ast.parse(path.read_text(encoding="utf-8")).body
    return next((node for node in nodes if isinstance(node, ast.ClassDef) and node.name == kind), None)


@cache
def _files_of_classes(folder: str) -> Mapping[str, Path]:
    """The file of every class that is defined somewhere under a folder of diffusers, by the class's name."""
    spec = importlib.util.find_spec("diffusers")  # which imports nothing
    if spec is None or not spec.submodule_search_locations:
        return {}
    files = sorted((Path(spec.submodule_search_locations[0]) / folder).rglob("*.py"))
    return {name: path for path in files for name in _CLASS.findall(path.read_text(encoding="utf-8"))}
