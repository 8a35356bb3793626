"""Profiles come back from a file as they were, and a damaged file is named."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from harness.analysis.profile import ARRAYS, FORMAT, Profile, Stream, read, write
from harness.errors import HarnessError
from tests.helpers import hostile


def stream(stack, name, depth, bins=3, draws=4, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "count": (bins,),
        **dict.fromkeys(("cosine", "centred", "cka"), (bins, depth, depth)),
        **dict.fromkeys(("angular", "angular_last"), (bins, depth - 1)),
        "draws": (draws, depth, depth),
        "angular_draws": (draws, depth - 1),
        "angular_last_draws": (draws, depth - 1),
    }
    return Stream(stack, name, **{field: rng.random(shapes[field]) for field in ARRAYS})


def profile(**changes):
    made = Profile(
        checkpoint="sd3-tiny",
        setting="trajectory",
        prompts=7,
        edges=np.array([0.0, 0.2, 0.7, 1.0]),
        lengths={"joint": 5},
        streams=(stream("joint", "image", 6), stream("joint", "text", 5, seed=1)),
        made_with={"torch": "2.0", "device": "cpu"},
    )
    return dataclasses.replace(made, **changes)


def assert_equal(a, b):
    assert (a.checkpoint, a.setting, a.prompts, a.lengths, a.made_with) == (
        b.checkpoint,
        b.setting,
        b.prompts,
        b.lengths,
        b.made_with,
    )
    np.testing.assert_array_equal(a.edges, b.edges)
    assert [(s.stack, s.name) for s in a.streams] == [(s.stack, s.name) for s in b.streams]
    for one, other in zip(a.streams, b.streams, strict=True):
        for field in ARRAYS:
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_what_is_written_is_read(tmp_path):
    made = profile()
    made.streams[0].cosine[1] = np.nan  # a bin without samples
    path = tmp_path / "deep" / "p.safetensors"
    write(made, path)
    assert_equal(read(path), made)
    assert [p.name for p in path.parent.iterdir()] == ["p.safetensors"]
    first = path.read_bytes()
    write(made, path)
    assert path.read_bytes() == first


@given(st.text(max_size=20), st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 3))
def test_any_profile_comes_back(tmp_path_factory, name, prompts, bins, draws):
    path = tmp_path_factory.mktemp("p") / "p.safetensors"
    made = profile(
        checkpoint=name,
        prompts=prompts,
        edges=np.linspace(0, 1, bins + 1),
        streams=(stream("joint", "image", 6, bins=bins, draws=draws),),
    )
    write(made, path)
    assert_equal(read(path), made)


def spoil(path, *, metadata=None, about=None, arrays=None):
    """Write the file again with something else in it."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as opened:
        own = opened.metadata()
    table = load_file(path)
    if about is not None:
        own[FORMAT] = json.dumps({**json.loads(own[FORMAT]), **about})
    for name, values in (arrays or {}).items():
        if values is None:
            del table[name]
        else:
            table[name] = values
    save_file(table, path, metadata={**own, **(metadata or {})})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"about": {"schema": 9}}, "has schema 9, this version reads 1"),
        ({"metadata": {FORMAT: "{"}}, "is damaged"),
        ({"metadata": {FORMAT: "[]"}}, r"is damaged: it is \[\], not an object"),
        ({"metadata": {FORMAT: "{}"}}, "has schema None, this version reads 1"),
        ({"about": {"setting": "guess"}}, "setting is 'guess', not one of trajectory, noised"),
        ({"about": {"prompts": -1}}, "prompts is -1, not a whole number from 0 upwards"),
        ({"about": {"prompts": "7"}}, "prompts is '7', not a whole number"),
        ({"about": {"checkpoint": 3}}, "checkpoint is 3, not a text"),
        ({"about": {"lengths": {"joint": 9}}}, "6 image states of stack 'joint', which has 9 blocks"),
        ({"about": {"lengths": {}}}, "'joint' is missing"),
        ({"about": {"streams": [["joint", "sound"]]}}, r"streams\[0\]\[1\] is 'sound', not one of image, text"),
        ({"about": {"streams": [["joint"]]}}, r"streams\[0\] has 1 entries, not 2"),
        ({"arrays": {"joint.text.cka": None}}, r"'joint\.text\.cka' is missing"),
        ({"arrays": {"joint.text.cka": np.zeros((2, 5, 5))}}, r"joint\.text\.cka is float64 \(2, 5, 5\)"),
        ({"arrays": {"joint.image.draws": np.zeros((4, 6, 6), dtype=np.float32)}}, r"joint\.image\.draws is float32"),
        ({"arrays": {"edges": np.array([0.0, 0.7, 0.2, 1.0])}}, "edges of the bins don't rise"),
        ({"arrays": {"edges": np.array([0.0, 1.0])}}, r"should be float64 \(1,\)"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, changes, match):
    path = tmp_path / "p.safetensors"
    write(profile(), path)
    spoil(path, **changes)
    with pytest.raises(HarnessError, match=match) as error:
        read(path)
    assert str(path) in str(error.value)


ABOUT = {
    "schema": 1,
    "checkpoint": "sd3-tiny",
    "setting": "trajectory",
    "prompts": 7,
    "lengths": {"joint": 5},
    "streams": [["joint", "image"], ["joint", "text"]],
    "made_with": {"torch": "2.0"},
}


@given(hostile.texts(ABOUT))
def test_any_description_is_read_or_refused_by_name(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("p") / "p.safetensors"
    write(profile(), path)
    said = str(path)
    try:
        spoil(path, metadata={FORMAT: text})
    except UnicodeEncodeError:
        return  # no safetensors file can hold a lone surrogate
    try:
        read(path)
    except HarnessError as error:
        said = str(error)
    assert str(path) in said


@given(
    st.sampled_from(["edges", *(f"joint.text.{name}" for name in ARRAYS)]),
    st.lists(st.integers(0, 6), max_size=4),
    st.sampled_from(["float64", "float32", "int64", "bool"]),
)
def test_any_array_is_read_or_refused_by_name(tmp_path_factory, name, shape, kind):
    path = tmp_path_factory.mktemp("p") / "p.safetensors"
    write(profile(), path)
    spoil(path, arrays={name: np.zeros(shape, dtype=kind)})
    said = str(path)
    try:
        assert read(path).lengths == {"joint": 5}  # the shape may be the right one
    except HarnessError as error:
        said = str(error)
    assert str(path) in said


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(HarnessError, match="there is no profile"):
        read(tmp_path / "none.safetensors")
    path = tmp_path / "p.safetensors"
    write(profile(), path)
    whole = path.read_bytes()
    for broken in (b"", b"hello", whole[: len(whole) // 2], whole[:20]):
        path.write_bytes(broken)
        with pytest.raises(HarnessError, match="can't read the profile"):
            read(path)
    save_file({"x": np.zeros(1)}, path)
    with pytest.raises(HarnessError, match="no profile of layers"):
        read(path)


def test_where_it_can_not_be_written_the_old_file_stays(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HarnessError, match="can't write"):
        write(profile(), tmp_path / "file" / "p.safetensors")
