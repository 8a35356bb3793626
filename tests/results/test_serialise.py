"""Dataclasses as JSON and back: what is written is read, and whatever doesn't fit is named by its place."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError
from harness.results.serialise import (
    Count,
    Finite,
    checked_schema,
    empty_as_none,
    from_plain,
    no_unknown_fields,
    parse,
    to_plain,
)
from tests.helpers import hostile


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Leaf:
    name: str
    size: float = 1.0


@dataclass(frozen=True)
class Fork:
    left: Leaf
    right: Leaf | None = None


@dataclass(frozen=True)
class Tree:
    colour: Colour
    count: Count
    height: Finite
    weight: float
    tall: bool
    leaves: tuple[Leaf, ...]
    pair: tuple[str, int]
    table: Mapping[str, Mapping[str, Finite]]
    mixed: Mapping[str, float | int | str]
    branch: Fork | Leaf
    note: str | None = None
    extra: Mapping[str, Leaf] = field(default_factory=dict)


names = st.text(max_size=6)
finite = st.floats(allow_nan=False, allow_infinity=False)
leaves = st.builds(Leaf, names, st.floats(allow_nan=False))
trees = st.builds(
    Tree,
    colour=st.sampled_from(Colour),
    count=st.integers(0),
    height=finite,
    weight=st.floats(allow_nan=False),
    tall=st.booleans(),
    leaves=st.lists(leaves, max_size=3).map(tuple),
    pair=st.tuples(names, st.integers()),
    table=st.dictionaries(names, st.dictionaries(names, finite, max_size=2), max_size=2),
    mixed=st.dictionaries(names, st.one_of(finite, st.integers(), names), max_size=3),
    branch=leaves | st.builds(Fork, leaves, st.none() | leaves),
    note=st.none() | names,
    extra=st.dictionaries(names, leaves, max_size=2),
)
TREE = Tree(
    Colour.RED, 2, 0.5, math.inf, True, (Leaf("a"),), ("b", 3), {"x": {"y": 1.0}}, {"n": 1}, Fork(Leaf("c")), "d"
)
PLAIN = {
    "colour": "red",
    "count": 2,
    "height": 0.5,
    "weight": "inf",
    "tall": True,
    "leaves": [{"name": "a", "size": 1.0}],
    "pair": ["b", 3],
    "table": {"x": {"y": 1.0}},
    "mixed": {"n": 1},
    "branch": {"left": {"name": "c", "size": 1.0}, "right": None},
    "note": "d",
    "extra": {},
}


def test_what_is_written_is_as_documented():
    assert to_plain(TREE) == PLAIN
    sparse = to_plain(TREE, sparse=True)
    assert "extra" not in sparse
    assert sparse["leaves"] == [{"name": "a"}]
    assert sparse["branch"] == {"left": {"name": "c"}}


@given(trees, st.booleans())
def test_what_is_written_is_read(tree, sparse):
    text = json.dumps(to_plain(tree, sparse=sparse), allow_nan=False)
    again = from_plain(Tree, json.loads(text), "tree")
    assert again == tree
    # A whole number stays one where both are allowed: digests are made of it.
    assert [type(v) for v in again.mixed.values()] == [type(v) for v in tree.mixed.values()]


def test_a_nan_is_read_where_no_rule_forbids_it():
    assert math.isnan(from_plain(Leaf, {"name": "a", "size": "nan"}).size)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("colour",), "green", "tree.colour is 'green', not one of red, blue"),
        (("colour",), ["red"], "tree.colour is ['red'], not one of red, blue"),
        (("count",), -1, "tree.count is -1, not a whole number from 0 upwards"),
        (("count",), True, "tree.count is True, not a whole number"),
        (("count",), 2.0, "tree.count is 2.0, not a whole number"),
        (("height",), "nan", "tree.height is 'nan', not a finite number"),
        (("height",), True, "tree.height is True, not a number"),
        (("weight",), 10**400, "not a number"),
        (("weight",), "1", "tree.weight is '1', not a number"),
        (("tall",), 1, "tree.tall is 1, not true or false"),
        (("leaves",), {}, "tree.leaves is {}, not a list"),
        (("leaves", 0), [], "tree.leaves[0] is [], not an object"),
        (("leaves", 0), {}, "tree.leaves[0].name is missing"),
        (("leaves", 0, "name"), None, "tree.leaves[0].name is None, not a text"),
        (("pair",), ["b"], "tree.pair has 1 entries, not 2"),
        (("pair", 1), "3", "tree.pair[1] is '3', not a whole number"),
        (("table", "x"), 1, "tree.table.x is 1, not an object"),
        (("table", "x", "y"), None, "tree.table.x.y is None, not a number"),
        (("table", "a b\n"), 1, r"tree.table['a b\n'] is 1, not an object"),
        (("mixed", "n"), None, "tree.mixed.n is None, not a number or a whole number or a text"),
        (("branch",), {}, "not a Fork or a Leaf"),
        (("branch",), {"left": {"name": 3}}, "tree.branch.left.name is 3, not a text"),
        (("note",), 3, "tree.note is 3, not a text"),
        (("note",), "x" * 1000, None),
    ],
)
def test_what_does_not_fit_is_named(path, value, said):
    data = json.loads(json.dumps(PLAIN))
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    if said is None:
        assert from_plain(Tree, data, "tree").note == value
        return
    with pytest.raises(DataError) as caught:
        from_plain(Tree, data, "tree")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


@given(hostile.documents(PLAIN))
def test_anything_is_read_or_refused(data):
    said = None
    try:
        tree = from_plain(Tree, data, "tree")
    except DataError as error:
        said = str(error)
    if said is None:
        assert math.isfinite(tree.height)
        assert tree.count >= 0
    else:
        assert said.startswith("tree")
        said.encode()  # can be printed, whatever the data holds


@given(hostile.texts({**PLAIN, "schema": 1}))
def test_any_text_is_read_or_refused(text):
    try:
        parse(Tree, text, schema=1)
    except ValueError as error:
        str(error).encode()


def test_another_schema_is_refused_before_its_fields_are_looked_at():
    with pytest.raises(DataError, match="file has schema 2, this version reads 1"):
        checked_schema({"schema": 2}, 1, "file")
    with pytest.raises(DataError, match="it has schema None"):
        parse(Tree, "{}", schema=1)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse(Tree, "[" * 100_000, schema=1)
    with pytest.raises(ValueError, match="NaN is no stored value"):
        parse(Tree, '{"schema": NaN}', schema=1)


def test_a_field_that_nothing_reads_is_named_where_people_write():
    data = {"name": "a", "zise": 2.0}
    assert from_plain(Leaf, data) == Leaf("a")
    assert no_unknown_fields(Leaf, {"name": "a"}) == {"name": "a"}
    with pytest.raises(DataError, match=r"leaf\.zise is unknown; the fields are name, size"):
        no_unknown_fields(Leaf, data, "leaf")
    with pytest.raises(DataError, match="leaf is 3, not an object"):
        no_unknown_fields(Leaf, 3, "leaf")


def test_an_empty_object_may_stand_for_none():
    assert empty_as_none({"a": {}, "b": {}}, "a") == {"a": None, "b": {}}
    for data in ({"a": {"x": 1}}, {"b": {}}, [], 3):
        assert empty_as_none(data, "a") == data


def test_a_type_that_has_no_reader_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="can be read from JSON"):
        from_plain(complex, 1)
