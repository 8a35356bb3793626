"""This harness for another environment: the checkout, or the installed files as a wheel again."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path

import pytest

import harness
from harness.cli import harness_source as module
from harness.cli.harness_source import harness_source, installed_versions, rebuild_wheel
from harness.errors import HarnessError
from tests.helpers.wheels import write_wheel

ROOT = Path(harness.__file__).parents[1]
FILES = {"thing/__init__.py": "VALUE = 1\n", "thing/data/words.txt": "a, b\n"}


def install(tmp_path, *, version="1.0", files=FILES):
    """As pip leaves a wheel: unpacked, with notes of its own, bytecode and a script."""
    site = tmp_path / "site"
    wheel = write_wheel(tmp_path / "index", "thing", version, files)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    info = site / f"thing-{version}.dist-info"
    (info / "INSTALLER").write_text("pip\n")
    (info / "direct_url.json").write_text("{}")
    (site / "thing" / "__pycache__").mkdir()
    (site / "thing" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "thing").write_text("#!")
    added = [f"{info.name}/INSTALLER", f"{info.name}/direct_url.json", "thing/__pycache__/a.pyc", "../bin/thing"]
    record = info / "RECORD"
    record.write_text(record.read_text() + "".join(f"{name},,\n" for name in added))
    return metadata.PathDistribution(info)


def test_a_checkout_is_installed_as_it_is(tmp_path):
    source = harness_source(tmp_path)
    assert source.arguments == ("-e", str(ROOT))
    assert "\n".join([*source.constraints, ""]) == (ROOT / "constraints.txt").read_text()
    assert list(tmp_path.iterdir()) == []


def test_neither_checkout_nor_installed_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "copy" / "harness" / "cli" / "harness_source.py"))
    monkeypatch.setattr(module, "_DISTRIBUTION", "no-such-distribution")
    with pytest.raises(HarnessError, match=r"copy/harness is neither in a checkout nor installed.*install it with pip"):
        harness_source(tmp_path)


def test_another_project_around_it_is_no_checkout(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n')
    monkeypatch.setattr(module, "__file__", str(tmp_path / "harness" / "cli" / "harness_source.py"))
    monkeypatch.setattr(module, "_DISTRIBUTION", "no-such-distribution")
    with pytest.raises(HarnessError, match="neither in a checkout nor installed"):
        harness_source(tmp_path)


def test_a_rebuilt_wheel_holds_what_was_installed_and_nothing_of_pip(tmp_path):
    wheel, _ = rebuild_wheel(install(tmp_path), tmp_path / "out")
    assert wheel.name == "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    info = "thing-1.0.dist-info"
    assert set(held) == {*FILES, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"}
    assert {name: held[name].decode() for name in FILES} == FILES
    rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(held[f"{info}/RECORD"].decode()))}
    assert set(rows) == set(held)
    for name, data in held.items():
        expected = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert rows[name] == (("", "") if name.endswith("/RECORD") else (f"sha256={expected}", str(len(data))))


def test_the_digest_is_that_of_the_contents(tmp_path):
    once = rebuild_wheel(install(tmp_path / "a"), tmp_path / "out")
    assert rebuild_wheel(install(tmp_path / "b"), tmp_path / "out") == once
    changed = rebuild_wheel(install(tmp_path / "c", files={**FILES, "thing/__init__.py": ""}), tmp_path / "out")
    assert changed[1] != once[1]
    assert changed[0].parent != once[0].parent


def test_a_file_that_is_gone_is_named(tmp_path):
    distribution = install(tmp_path)
    (tmp_path / "site" / "thing" / "__init__.py").unlink()
    with pytest.raises(HarnessError, match=r"can't pack thing: thing/__init__.py: .*; install it again"):
        rebuild_wheel(distribution, tmp_path)


def test_what_no_wheel_brought_is_an_error(tmp_path):
    info = tmp_path / "thing.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
    with pytest.raises(HarnessError, match="thing was not installed from a wheel"):
        rebuild_wheel(metadata.PathDistribution(info), tmp_path)


def test_versions_beside_an_installed_harness_are_the_constraints(tmp_path, monkeypatch):
    requires = ("pytest>=8", "Open-Clip-Torch", "no-such-package>1", "ruff>=0.1; extra == 'dev'")
    wheel = write_wheel(tmp_path, "thing", "1.0", {}, requires)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "2.9.0+cpu" if name == "open_clip_torch" else real(name))
    lines = installed_versions(metadata.PathDistribution(tmp_path / "thing-1.0.dist-info"))
    assert lines[:2] == [f"pytest=={real('pytest')}", "open_clip_torch==2.9.0"]
    assert [line.partition("==")[0] for line in lines[2:]] == [
        "diffusers",
        "transformers",
        "huggingface_hub",
        "tokenizers",
    ]
