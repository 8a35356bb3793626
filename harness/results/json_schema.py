"""JSON Schemas (draft 2020-12) of the files that :mod:`harness.results.serialise` reads, from the same dataclasses."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, cast

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ANY_NUMBER: dict[str, Any] = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: _ANY_NUMBER,
    types.NoneType: {"type": "null"},
}


def schema_of(kind: Any, title: str, *, constants: Mapping[str, int] | None = None, closed: bool = False) -> Any:
    """The schema of an object that is read as the dataclass ``kind``, as plain JSON data.

    ``constants`` are fields that the file has beside the dataclass's, with the only value that they may have
    (``{"schema": 1}``). In a ``closed`` one a field that no dataclass has is an error, as in files that people write.
    The descriptions are the first paragraphs of the docstrings, and what rules ask of values.
    """
    definitions: dict[str, Any] = {}
    whole = _object(kind, definitions, closed=closed)
    properties = {**whole["properties"], **{name: {"const": value} for name, value in (constants or {}).items()}}
    return {
        "$schema": _DRAFT,
        "title": title,
        **whole,
        "properties": properties,
        "required": sorted({*whole["required"], *(constants or {})}),
        **({"$defs": dict(sorted(definitions.items()))} if definitions else {}),
    }


def _object(kind: Any, definitions: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    needed = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    return {
        "description": inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`"),
        "type": "object",
        "properties": {f.name: _value(hints[f.name], definitions, closed=closed) for f in fields},
        "required": needed,
        **({"additionalProperties": False} if closed else {}),
    }


def _value(kind: Any, definitions: dict[str, Any], *, closed: bool) -> dict[str, Any]:
    def inside(inner: Any) -> dict[str, Any]:
        return _value(inner, definitions, closed=closed)

    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        wanted = ", ".join(rule.wanted for rule in arguments[1:])
        # Every rule on a number asks for one that is finite.
        return ({"type": "number"} if arguments[0] is float else inside(arguments[0])) | {"description": wanted}
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [inside(option) for option in arguments]}
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return {"type": "array", "items": inside(arguments[0])}
        size = len(arguments)
        return {"type": "array", "prefixItems": [inside(a) for a in arguments], "minItems": size, "maxItems": size}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": inside(arguments[1])}
    if dataclasses.is_dataclass(kind):
        name = cast("type[Any]", kind).__name__.lstrip("_")
        if name not in definitions:
            definitions[name] = {}  # a dataclass inside itself would come here again
            definitions[name] = _object(kind, definitions, closed=closed)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    return dict(_SCALARS[kind])
