"""JSON Schemas from dataclasses: they take what is written, and refuse what reading refuses."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator

from harness.errors import DataError
from harness.results.json_schema import schema_of
from harness.results.serialise import Finite, Rule, from_plain, to_plain


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    """A part.

    More about it.
    """

    size: Finite
    parent: Part | None = None


@dataclass(frozen=True)
class Whole:
    """A whole with ``parts``."""

    colour: Colour
    parts: tuple[Part, ...]
    pair: tuple[int, str]
    by_name: Mapping[str, float]
    even: Annotated[int, Rule(lambda n: n % 2 == 0, "an even number")] = 0
    flag: bool | None = None
    texts: tuple[str, ...] = field(default_factory=tuple)


WHOLE = Whole(Colour.RED, (Part(1.5), Part(2, Part(3))), (1, "a"), {"x": math.nan, "y": 2.0}, 4, True, ("t",))
PLAIN = to_plain(WHOLE)


def validator(**more):
    schema = schema_of(Whole, "A whole", **more)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(json.loads(json.dumps(schema)))


def test_what_is_written_is_valid():
    assert list(validator(closed=True).iter_errors(PLAIN)) == []
    assert from_plain(Whole, PLAIN).parts == WHOLE.parts


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"colour": "green"}, ["colour"]),
        ({"parts": [{"size": "nan"}]}, ["parts", 0, "size"]),
        ({"parts": [{"size": 1, "parent": {"size": "big"}}]}, ["parts", 0, "parent"]),
        ({"pair": [1]}, ["pair"]),
        ({"pair": [1, "a", 2]}, ["pair"]),
        ({"pair": ["a", 1]}, ["pair", 0]),
        ({"by_name": {"x": "many"}}, ["by_name", "x"]),
        ({"flag": 1}, ["flag"]),
        ({"texts": "t"}, ["texts"]),
        ({"even": 1.5}, ["even"]),
    ],
)
def test_both_refuse_the_same(change, place):
    errors = list(validator().iter_errors(PLAIN | change))
    assert place in [list(error.absolute_path) for error in errors]
    with pytest.raises(DataError):
        from_plain(Whole, PLAIN | change)


def test_what_is_missing_unknown_or_of_another_version():
    without = {name: value for name, value in PLAIN.items() if name != "colour"}
    assert "'colour' is a required property" in [error.message for error in validator().iter_errors(without)]
    assert list(validator().iter_errors(PLAIN | {"more": 1})) == []
    assert list(validator(closed=True).iter_errors(PLAIN | {"more": 1})) != []
    versioned = validator(constants={"schema": 2})
    assert list(versioned.iter_errors(PLAIN | {"schema": 2})) == []
    assert list(versioned.iter_errors(PLAIN | {"schema": 1})) != []
    assert list(versioned.iter_errors(PLAIN)) != []


def test_descriptions_are_those_of_the_code():
    schema = schema_of(Whole, "A whole")
    assert schema["description"] == "A whole with `parts`."
    assert schema["$defs"]["Part"]["description"] == "A part."
    assert schema["properties"]["even"]["description"] == "an even number"
