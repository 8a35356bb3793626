"""The cache: what is kept comes back bit for bit, under that very fingerprint alone, within its limit."""

from __future__ import annotations

import os
import threading
from dataclasses import fields, replace

import pytest
import torch

from harness.lab.cache import Cache
from tests.helpers.records import FINGERPRINT

TENSORS = {"latents": torch.arange(6.0, dtype=torch.bfloat16).view(2, 3), "images": torch.ones(2, 3, dtype=torch.uint8)}


@pytest.fixture
def images(tmp_path):
    return Cache(tmp_path / "cache")


def files(cache):
    return sorted(cache.folder.glob("*.safetensors"))


def test_what_is_kept_comes_back(images):
    assert images.load("control", FINGERPRINT) is None
    images.save("control", FINGERPRINT, TENSORS)
    kept = images.load("control", FINGERPRINT)
    assert kept.keys() == TENSORS.keys()
    assert all(torch.equal(kept[name], tensor) and kept[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    assert images.load("embeddings", FINGERPRINT) is None
    assert images.notes == []


@pytest.mark.parametrize("name", [field.name for field in fields(FINGERPRINT)])
def test_no_other_fingerprint_finds_it(images, name):
    images.save("control", FINGERPRINT, TENSORS)
    value = getattr(FINGERPRINT, name)
    other = {"other": "1"} if isinstance(value, dict) else 99 if isinstance(value, int) else ("batch=2",)
    if isinstance(value, str):
        other = f"{value}2"
    assert images.load("control", replace(FINGERPRINT, **{name: other})) is None


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_file_is_not_taken_and_said_and_replaced(images, damage):
    images.save("control", FINGERPRINT, TENSORS)
    (path,) = files(images)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"cut": path.read_bytes()[:-4], "bit": bytes(content), "empty": b""}[damage])
    assert images.load("control", FINGERPRINT) is None
    (note,) = images.notes
    assert str(path) in note
    assert "measured without it" in note
    images.save("control", FINGERPRINT, TENSORS)
    assert images.load("control", FINGERPRINT) is not None


def test_what_was_not_used_for_longest_goes_first(images):
    images.save("seed 0", FINGERPRINT, TENSORS)
    (first,) = files(images)
    images.limit = int(2.5 * first.stat().st_size)
    images.save("seed 1", FINGERPRINT, TENSORS)
    for path in files(images):
        os.utime(path, (1.0, 1.0) if path != first else (0.0, 0.0))
    images.load("seed 0", FINGERPRINT)  # now seed 1 is the older one
    images.save("seed 2", FINGERPRINT, TENSORS)
    assert images.load("seed 0", FINGERPRINT) is not None
    assert images.load("seed 1", FINGERPRINT) is None
    assert images.load("seed 2", FINGERPRINT) is not None


def test_what_is_larger_than_the_limit_is_not_kept(tmp_path):
    small = Cache(tmp_path, limit=3)
    small.save("control", FINGERPRINT, TENSORS)
    assert files(small) == []
    assert "more than the cache may hold" in small.notes[0]


def test_a_folder_that_takes_nothing_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    closed = Cache(tmp_path / "file")
    closed.save("control", FINGERPRINT, TENSORS)
    assert closed.load("control", FINGERPRINT) is None
    assert "can't write" in closed.notes[0]


def test_many_writers_and_readers_see_whole_files(images):
    wrong = []

    def work(number):
        for _ in range(20):
            images.save("control", FINGERPRINT, TENSORS)
            kept = images.load("control", FINGERPRINT)
            if kept is None or not torch.equal(kept["latents"], TENSORS["latents"]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert images.notes == []
    assert len(files(images)) == 1
