"""Files are replaced whole or not at all, and read strictly."""

from __future__ import annotations

import hashlib
import os
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.files import file_sha256, parse_json, replacing, why_not_made, write_atomically, write_each


@given(st.binary() | st.text(st.characters(codec="utf-8")))
def test_what_is_written_is_there(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("f") / "deep" / "file"
    for _ in range(2):
        write_atomically(path, data)
    expected = data.encode() if isinstance(data, str) else data
    assert path.read_bytes() == expected
    assert file_sha256(path) == hashlib.sha256(expected).hexdigest()
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (ZeroDivisionError("mine"), ZeroDivisionError, "mine"),
        (KeyboardInterrupt("mine"), KeyboardInterrupt, "mine"),
        (OSError(28, "No space left on device"), HarnessError, "can't write .*file: No space left on device"),
    ],
)
def test_where_writing_fails_the_old_file_stays(tmp_path, error, raised, said):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("ne")
            assert path.read_text() == "old"
            raise error

    with pytest.raises(raised, match=said):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="can't write"):
        write_atomically(tmp_path / "file" / "below", "x")
    (tmp_path / "folder" / "in").mkdir(parents=True)
    with pytest.raises(HarnessError, match="can't write"):
        write_atomically(tmp_path / "folder", "x")


@pytest.mark.parametrize("text", ["", "{", "NaN", "[-Infinity]", "[" * 100_000, "9" * 10_000])
def test_what_is_no_strict_json_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - json says it in words of its own
        parse_json(text)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_named(text):
    with pytest.raises(ValueError, match=f"{text} is no stored value"):
        parse_json(text)


def test_a_key_that_is_there_twice_is_refused_where_it_must_be_unique():
    text = '{"a": {"b": 1, "c": 2, "b": 3}}'
    assert parse_json(text) == {"a": {"b": 3, "c": 2}}
    with pytest.raises(ValueError, match="'b' is there twice"):
        parse_json(text, unique=True)
    assert parse_json('[{"b": 1}, {"b": 2}]', unique=True) == [{"b": 1}, {"b": 2}]


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    old, young, other = (tmp_path / f".{name}.partial" for name in ("a[1].json.x1", "a[1].json.x2", "b.json.x3"))
    for path in (old, young, other):
        path.write_text("")
    for path in (old, other):
        os.utime(path, (1, 1))
    write_atomically(tmp_path / "a[1].json", "{}")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a[1].json", young.name, other.name])


def test_git_ignores_what_a_killed_process_leaves_beside_a_file(tmp_path):
    """Beside baselines/flux-tiny/cpu-float32.json, too, which are not ignored themselves."""
    with replacing(tmp_path / "cpu-float32.json") as temporary:
        name = temporary.name
    patterns = (Path(__file__).parents[1] / ".gitignore").read_text().splitlines()
    assert any(fnmatch(name, pattern) for pattern in patterns if pattern and "/" not in pattern)
    assert not any(fnmatch("cpu-float32.json", pattern) for pattern in patterns if pattern)


def test_why_nothing_can_be_written_into_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert why_not_made(tmp_path) == ""
    assert why_not_made(tmp_path / "new" / "newer") == ""
    assert not (tmp_path / "new").exists()
    assert why_not_made(tmp_path / "file" / "new") == f"{tmp_path / 'file'} is no folder"


def test_of_several_files_those_that_cannot_be_written_are_named_and_the_others_are_there(tmp_path):
    (tmp_path / "b" / "folder").mkdir(parents=True)
    said = []
    texts = {tmp_path / name: name for name in "abc"}
    assert write_each(texts, said.append) == [tmp_path / "a", tmp_path / "c"]
    assert [(tmp_path / name).read_text() for name in "ac"] == ["a", "c"]
    assert len(said) == 1
    assert said[0].startswith(f"can't write {tmp_path}/b: ")
