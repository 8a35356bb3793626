"""A run folder at a path or a URL: files are replaced whole, and a URL that can't be used is one line."""

from __future__ import annotations

import importlib.util
import uuid

import fsspec
import pytest

from harness.errors import HarnessError
from harness.workers.store import Store, is_url, read_place


@pytest.fixture(params=["path", "file", "memory"])
def store(request, tmp_path):
    if request.param == "path":
        return Store(tmp_path / "run")
    return Store(f"file://{tmp_path}/run" if request.param == "file" else f"memory://{uuid.uuid4().hex}/run")


def test_files_are_written_read_and_listed(store):
    assert (store.name, store.read("a.json"), store.names()) == ("run", None, [])
    store.check_writable()
    store.write("a.json", b"old")
    store.write("a.json", b"new")
    store.write("deep/er/b.json", b"b")
    assert store.read("a.json") == b"new"
    assert store.names() == ["a.json", "deep/er/b.json"]
    assert store.read_all("deep") == {"deep/er/b.json": b"b"}
    store.remove("a.json")
    store.remove("a.json")
    assert store.names() == ["deep/er/b.json"]


def test_what_is_being_written_is_not_listed(store):
    store.write("a.json.1.partial", b"")
    store.write(".hidden", b"")
    assert store.names() == []


def test_as_a_folder_its_changes_come_back(store, tmp_path):
    store.write("records/a.json", b"a")
    with store.as_folder() as folder:
        assert (folder / "records" / "a.json").read_bytes() == b"a"
        (folder / "ranking.md").write_text("table")
    assert store.read("ranking.md") == b"table"
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    (other / "images" / "a.png").write_bytes(b"picture")
    store.upload(other)
    assert store.read("images/a.png") == b"picture"


def test_only_memory_is_not_shared(tmp_path):
    assert Store(tmp_path).shared
    assert not Store("memory://x").shared
    assert is_url("s3://bucket/run")
    assert not is_url("reports/run")


def test_where_files_are_not_objects_a_file_is_moved_into_place(monkeypatch):
    store = Store("memory://moved/run")
    moves = []
    monkeypatch.setattr("harness.workers.store._OBJECTS", set())
    memory, move = fsspec.filesystem("memory"), type(fsspec.filesystem("memory")).mv
    monkeypatch.setattr(type(memory), "mv", lambda self, a, b, **more: (moves.append((a, b)), move(self, a, b, **more)))
    store.write("a.json", b"whole")
    ((beside, place),) = moves
    assert place == "/moved/run/a.json"
    assert beside.startswith(f"{place}.")
    assert store.names() == ["a.json"]


def missing_package():
    for scheme, package in (("s3", "s3fs"), ("gcs", "gcsfs"), ("abfs", "adlfs")):
        if importlib.util.find_spec(package) is None:
            return scheme, package
    pytest.skip("every file system's package is installed")


def test_a_missing_package_is_named():
    scheme, package = missing_package()
    with pytest.raises(
        HarnessError, match=rf"^{scheme}://b/run needs a package .*; install it: pip install {package}$"
    ):
        Store(f"{scheme}://b/run")


def test_an_unknown_scheme_is_one_line():
    with pytest.raises(HarnessError, match=r"^nope://b/run can't be opened: .*nope"):
        Store("nope://b/run")


def test_what_can_not_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match=r"^can't write .*file/run/"):
        Store(tmp_path / "file" / "run").check_writable()
    store = Store("memory://refused/run")

    def refuse(*_, **__):
        raise PermissionError("no credentials")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "pipe_file", refuse)
    with pytest.raises(HarnessError, match=r"^can't write memory://refused/run/.*PermissionError: no credentials$"):
        store.check_writable()


def test_one_file_by_its_place(tmp_path, monkeypatch):
    (tmp_path / "w.json").write_text("work")
    Store("memory://one/run").write("w.json", b"work")
    monkeypatch.chdir(tmp_path)
    for place in (f"{tmp_path}/w.json", "w.json", "memory://one/run/w.json"):
        assert read_place(place) == "work"
    with pytest.raises(HarnessError, match=r"^there is no none.json"):
        read_place("none.json")
