"""Stored groups: what is written is read, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.layer_groups import Groups, StackGroups, dump, read, spans, write
from harness.errors import BaselineError
from tests.helpers import hostile

DOUBLE = StackGroups(length=6, starts=(0, 2, 5), structure=True, p=0.01, stability=(0.93, 0.88))
SINGLE = StackGroups(length=12, starts=(0, 4, 8), structure=False, p=0.4, stability=(0.5, 0.2))
GROUPS = Groups("flux-tiny", {"double": DOUBLE, "single": SINGLE}, {"setting": "trajectory"})


@st.composite
def cuts(draw):
    length = draw(st.integers(1, 60))
    inner = sorted(draw(st.sets(st.integers(1, length - 1), max_size=5))) if length > 1 else []
    shares = st.integers(0, 1000).map(lambda share: share / 1000)
    return StackGroups(length, (0, *inner), draw(st.booleans()), draw(shares), tuple(draw(shares) for _ in inner))


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.text(min_size=1), cuts(), max_size=3),
    st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_what_is_written_is_read(tmp_path_factory, stacks, measured):
    path = tmp_path_factory.mktemp("groups") / "groups.json"
    groups = Groups("some", stacks, measured)
    write(path, groups)
    assert read(path, "some") == groups


def test_the_file_is_as_documented(tmp_path):
    data = json.loads(dump(GROUPS))
    assert data == {
        "schema": 1,
        "checkpoint": "flux-tiny",
        "stacks": {
            "double": {"length": 6, "starts": [0, 2, 5], "structure": True, "p": 0.01, "stability": [0.93, 0.88]},
            "single": {"length": 12, "starts": [0, 4, 8], "structure": False, "p": 0.4, "stability": [0.5, 0.2]},
        },
        "measured": {"setting": "trajectory"},
    }
    assert dump(GROUPS).count("\n") == 11  # a line a stack


def test_spans_are_the_groups():
    assert spans(GROUPS, "double", 6) == {"first": (0, 1), "middle": (2, 4), "last": (5, 5)}


@settings(deadline=None)
@given(cuts())
def test_spans_cover_the_stack_once(cut):
    made = Groups("some", {"s": StackGroups(cut.length, cut.starts, structure=True, p=0.0)})
    if len(cut.starts) < 2:
        with pytest.raises(BaselineError, match="no block structure"):
            spans(made, "s", cut.length)
        return
    found = spans(made, "s", cut.length)
    assert list(found) == [name for name in ("first", "middle", "last") if name in found]
    assert ("middle" in found) == (len(cut.starts) > 2)
    assert [block for first, last in found.values() for block in range(first, last + 1)] == list(range(cut.length))


@pytest.mark.parametrize(
    ("stack", "length", "said"),
    [
        ("joint", 6, "have no stack 'joint' (there are: double, single); measure them again"),
        ("double", 7, "cut a stack 'double' of 6 blocks, this one has 7; measure them again"),
        ("single", 12, "stack 'single' of flux-tiny has no block structure (p = 0.4)"),
    ],
)
def test_no_spans(stack, length, said):
    with pytest.raises(BaselineError) as error:
        spans(GROUPS, stack, length)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2, this version reads 1"),
        ({"checkpoint": "sd3-tiny"}, "belong to checkpoint 'sd3-tiny', not 'flux-tiny'"),
        ({"checkpoint": 3}, "checkpoint is 3, not a text"),
        ({"stacks": []}, "not laid out as such: stacks is [], not an object"),
        ({"measured": {"prompts": 8}}, "measured.prompts is 8, not a text"),
        ({"starts": [0, 5, 2]}, "starts [0, 5, 2], which don't cut its 6 blocks"),
        ({"starts": [1, 3]}, "starts [1, 3]"),
        ({"starts": [0, 6]}, "starts [0, 6]"),
        ({"starts": [0, 2, 2]}, "starts [0, 2, 2]"),
        ({"starts": []}, "starts []"),
        ({"starts": [0, 2.0, 5]}, "stacks.double.starts[1] is 2.0, not a whole number"),
        ({"starts": [False, 2, 5]}, "stacks.double.starts[0] is False, not a whole number"),
        ({"stability": [1.0]}, "1 stabilities for 2 inner boundaries"),
        ({"stability": [1.0, 1.5]}, "outside 0..1"),
        ({"structure": 1}, "stacks.double.structure is 1, not true or false"),
        ({"p": "small"}, "stacks.double.p is 'small', not a number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, said):
    data = json.loads(dump(Groups("flux-tiny", {"double": DOUBLE})))
    for key, value in change.items():
        (data if key in data else data["stacks"]["double"])[key] = value
    path = tmp_path / "groups.json"
    path.write_text(json.dumps(data))
    with pytest.raises(BaselineError) as error:
        read(path, "flux-tiny")
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "restore it from git" in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": NaN}', ""])
def test_what_is_no_json(tmp_path, text):
    path = tmp_path / "groups.json"
    path.write_text(text)
    with pytest.raises(BaselineError, match=r"groups\.json"):
        read(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BaselineError, match="are not there"):
        read(tmp_path / "groups.json")


def test_a_cut_that_could_not_be_read_is_not_written(tmp_path):
    with pytest.raises(BaselineError, match="don't cut"):
        write(tmp_path / "groups.json", Groups("some", {"s": StackGroups(3, (0, 3), structure=True, p=0.0)}))
    assert not list(tmp_path.iterdir())


STORED = sorted(Path(__file__).parents[2].glob("baselines/*/groups.json"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.parent.name)
def test_every_file_of_the_repository_comes_back_to_the_byte(path):
    assert dump(read(path, path.parent.name)).encode() == path.read_bytes()


@given(hostile.texts(json.loads(dump(GROUPS))))
def test_any_file_is_read_or_refused_by_name(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("groups") / "groups.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    said = str(path)
    try:
        dump(read(path))
    except BaselineError as error:
        said = str(error)
    assert str(path) in said
