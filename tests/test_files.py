"""Files are written whole or not at all, and strict values are what they say."""

from __future__ import annotations

import json

import pytest

from harness.errors import HarnessError
from harness.files import no_constant, number, text, write_atomically


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    write_atomically(path, "über\n")
    assert path.read_bytes() == "über\n".encode()
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert oct(path.stat().st_mode & 0o777) == "0o644"
    assert list(path.parent.iterdir()) == [path]  # nothing half-written stays


def test_what_fails_leaves_the_old_file_and_says_why(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.files.os.replace", full)
    with pytest.raises(HarnessError, match=r"can't write .*file\.txt: No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(HarnessError, match=r"can't write .*below: (File exists|Not a directory)"):
        write_atomically(path / "below", "x")


def test_strict_values():
    assert (number(3), number(-0.5), text("a")) == (3.0, -0.5, "a")
    for wrong in (True, "1", None, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="is no number"):
            number(wrong)
    with pytest.raises(TypeError, match="3 is no text"):
        text(3)
    for wrong in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError, match=f"{wrong} is no stored value"):
            json.loads(wrong, parse_constant=no_constant)
