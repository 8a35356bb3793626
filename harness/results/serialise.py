"""Frozen dataclasses as plain JSON data and back: one writer and one typed reader for every file that holds them.

:func:`to_plain` gives lists, dicts, texts and numbers. :func:`from_plain` reads them back by the types of the fields
and names the place of whatever doesn't fit: ``record.verdict.checks[2].value is 'x', not a number``.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import reprlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from harness.errors import DataError
from harness.files import parse_json
from harness.spelling import did_you_mean

_T = TypeVar("_T")

_NAMES: dict[Any, str] = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
_NO_NUMBER = ("nan", "inf", "-inf")  # JSON has no words for them
_SHORT = reprlib.Repr()  # also of data that is nested deeper than repr() can go
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


@dataclass(frozen=True)
class Rule:
    """What a field's value must be beside its type, as ``Annotated[float, Rule(...)]``; ``wanted`` says it in words."""

    holds: Callable[[Any], bool]
    wanted: str


Finite = Annotated[float, Rule(math.isfinite, "a finite number")]
Size = Annotated[float, Rule(lambda size: 0 <= size < math.inf, "a finite number from 0 upwards")]
Count = Annotated[int, Rule(lambda count: count >= 0, "a whole number from 0 upwards")]


def to_plain(value: Any, *, sparse: bool = False) -> Any:
    """Dataclasses, mappings, sequences and enums as plain dicts, lists, texts and numbers.

    A float that is not finite becomes "nan", "inf" or "-inf". ``sparse`` leaves out fields that have their default.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if not (sparse and getattr(value, f.name) == _default(f))]
        return {f.name: to_plain(getattr(value, f.name), sparse=sparse) for f in fields}
    if isinstance(value, Mapping):
        return {str(key): to_plain(inner, sparse=sparse) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, sparse=sparse) for item in cast("Sequence[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.value if isinstance(value, enum.Enum) else value


def parse(kind: type[_T], text: str, *, schema: int, where: str = "") -> _T:
    """A JSON text that holds an object with this ``schema``, as a dataclass ``kind``.

    Raises DataError naming the place inside ``where``, and ValueError for a text that is no JSON or has a key twice.
    """
    return from_plain(kind, checked_schema(parse_json(text, unique=True), schema, where), where)


def checked_schema(data: Any, schema: int, where: str = "") -> Mapping[str, Any]:
    """The same data. Raises DataError where it is no object, or says that it is of another schema."""
    fields = _object(data, where)
    if fields.get("schema") != schema:
        raise DataError(f"{where or 'it'} has schema {_SHORT.repr(fields.get('schema'))}, this version reads {schema}")
    return fields


def no_unknown_fields(kind: Any, data: Any, where: str = "") -> Mapping[str, Any]:
    """The same data, for files that people write: there, a field that ``kind`` doesn't have is a slip.

    Raises DataError naming the field, or where the data is no object.
    """
    fields = _object(data, where)
    known = _types(kind)
    for name in sorted(fields.keys() - known.keys()):
        raise DataError(
            f"{_inside(where, name)} is unknown{did_you_mean(name, known)}; the fields are {', '.join(known)}"
        )
    return fields


def empty_as_none(data: Any, name: str) -> Any:
    """The same data with None for an empty object under ``name``: so is written that there is none of it."""
    return {**data, name: None} if isinstance(data, Mapping) and data.get(name) == {} else data


def from_plain(kind: type[_T], data: Any, where: str = "") -> _T:
    """Data from JSON as a dataclass ``kind``; ``where`` names it in messages.

    The fields may be dataclasses, enums of texts, tuples, mappings with texts for keys, optionals and unions, bool,
    int, float and str, each of them ``Annotated`` by a :class:`Rule` or not. A float may be written "nan", "inf" or
    "-inf" where no rule forbids it. Fields that ``kind`` doesn't have are ignored (see :func:`no_unknown_fields`); one
    that is missing needs a default.

    Raises DataError naming the first field that doesn't fit.
    """
    return cast("_T", _value(kind, data, where))


def _value(kind: Any, data: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _ruled(arguments[0], arguments[1:], data, place)
    if origin in (types.UnionType, typing.Union):
        return _union(arguments, data, place)
    if origin is tuple:
        return _tuple(arguments, data, place)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        entries = _object(data, place).items()
        return {key: _value(arguments[1], value, _inside(place, key)) for key, value in entries}
    if _is_dataclass(kind):
        return _instance(kind, _object(data, place), place)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _member(kind, data, place)
    return _scalar(kind, data, place)


def _ruled(kind: Any, rules: Sequence[Any], data: Any, place: str) -> Any:
    value = _value(kind, data, place)
    for rule in rules:
        if not rule.holds(value):
            raise _wrong(place, data, rule.wanted)
    return value


def _union(options: Sequence[Any], data: Any, place: str) -> Any:
    """The option that the data is of: None, a scalar of that very type, else the first that can be read."""
    if data is None and types.NoneType in options:
        return None
    options = [option for option in options if option is not types.NoneType]
    if type(data) in options:
        return data
    if isinstance(data, Mapping):
        keys = set(cast("Mapping[str, Any]", data))
        options = [o for o in options if _is_dataclass(o) and _required(o) <= keys] or options
    errors: list[DataError] = []
    for option in options:
        try:
            return _value(option, data, place)
        except DataError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise _wrong(place, data, " or ".join(_NAMES.get(option) or f"a {option.__name__}" for option in options))


def _tuple(kinds: Sequence[Any], data: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise _wrong(place, data, "a list")
    values = cast("Sequence[Any]", data)
    if kinds[-1] is Ellipsis:
        kinds = [kinds[0]] * len(values)
    if len(values) != len(kinds):
        raise DataError(f"{place or 'it'} has {len(values)} entries, not {len(kinds)}")
    pairs = zip(kinds, values, strict=True)
    return tuple(_value(kind, value, f"{place}[{i}]") for i, (kind, value) in enumerate(pairs))


def _instance(kind: Any, data: Mapping[str, Any], place: str) -> Any:
    types_of = _types(kind)
    for name in sorted(_required(kind) - data.keys(), key=list(types_of).index):
        raise DataError(f"{_inside(place, name)} is missing")
    values = {n: _value(types_of[n], data[n], _inside(place, n)) for n in types_of if n in data}
    return kind(**values)


def _member(kind: type[enum.Enum], data: Any, place: str) -> enum.Enum:
    for member in kind:
        if isinstance(data, str) and data == member.value:
            return member
    raise _wrong(place, data, f"one of {', '.join(str(member.value) for member in kind)}")


def _scalar(kind: Any, data: Any, place: str) -> Any:
    if kind is float:
        number = _number(data)
        if number is not None:
            return number
    elif kind in _NAMES:
        # true and false are whole numbers to Python, and to nobody else.
        if isinstance(data, kind) and (kind is bool or not isinstance(data, bool)):
            return data
    else:
        raise TypeError(f"{place}: no field of type {kind} can be read from JSON")
    raise _wrong(place, data, _NAMES[kind])


def _number(data: Any) -> float | None:
    if isinstance(data, bool) or not (isinstance(data, (int, float)) or data in _NO_NUMBER):
        return None
    try:
        return float(data)
    except OverflowError:  # a whole number of more than 308 digits
        return None


def _object(data: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise _wrong(place, data, "an object")
    return cast("Mapping[str, Any]", data)


def _is_dataclass(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


def _wrong(place: str, data: Any, wanted: str) -> DataError:
    return DataError(f"{place or 'it'} is {_SHORT.repr(data)}, not {wanted}")


def _inside(place: str, key: str) -> str:
    # A key of a foreign file may be anything, also what no terminal can print.
    if not key.isprintable() or not 0 < len(key) <= 120:
        return f"{place}[{_SHORT.repr(key)}]"
    return f"{place}.{key}" if place else key


@cache
def _types(kind: Any) -> dict[str, Any]:
    """Field -> its type, in the order of the fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


@cache
def _required(kind: Any) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(kind) if _default(f) is dataclasses.MISSING)


def _default(f: dataclasses.Field[Any]) -> Any:
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
