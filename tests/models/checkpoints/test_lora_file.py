"""LoRA files: found by file, folder or hub id, and named where there is none."""

from __future__ import annotations

import shutil

import pytest
import torch

from harness.files import file_sha256
from harness.models.checkpoints import lora_file, weight_files
from harness.models.checkpoints.resolve import resolve
from tests.helpers import hubs
from tests.helpers.loras import message, rewritten

pytest.importorskip("peft")


def test_a_file_a_folder_or_a_hub_id(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "theirs").mkdir()
    shutil.copy(file, tmp_path / "theirs")
    hubs.put(tmp_path / "hub", "someone/style", tmp_path / "theirs")
    found = [lora_file.find(name) for name in (str(file), str(tmp_path), "someone/style")]
    assert found[0] == found[1] == file
    assert len({resolve("flux-tiny", lora=str(path)).name for path in found}) == 1
    shutil.copy(file, tmp_path / "other.safetensors")
    shutil.copy(file, tmp_path / lora_file.USUAL)
    assert lora_file.find(str(tmp_path)).name == lora_file.USUAL


def test_another_name_and_digest_than_the_base(file, made):
    base, first = resolve("flux-tiny"), resolve("flux-tiny", lora=str(file))
    assert first.name == f"flux-tiny-lora-{file_sha256(file)[:6]}"
    assert first.base == base.name == base.base
    rewritten(file, made, lambda all_: {key: 2 * value for key, value in all_.items()})
    second = resolve("flux-tiny", lora=str(file))
    assert len({base.name, first.name, second.name}) == 3
    digests = [weight_files.weights_digest(base.folder, *more) for more in ((), (file,))]
    assert digests[0] != digests[1]


def test_what_is_no_lora_file_is_named(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    pickled = tmp_path / "style.bin"
    torch.save({"a": torch.zeros(1)}, pickled)
    assert message(str(pickled), load=False) == (
        f"LoRA {pickled} is a pickle, which can run any code when it is read; save it as safetensors "
        "(safetensors.torch.save_file)"
    )
    missing = "is not there; give a .safetensors file, a folder or a hub id"
    assert message("none.safetensors", load=False) == f"LoRA 'none.safetensors' {missing}"
    assert message("loras/none.safetensors", load=False) == f"LoRA 'loras/none.safetensors' {missing}"
    assert message("someone/style", load=False).startswith(
        f"LoRA 'someone/style' is no folder here and not in the hub cache {tmp_path}/hub; "
        'download it: hf download someone/style --include "*.safetensors"'
    )
    words = tmp_path / "style.txt"
    words.write_text("")
    assert message(str(words), load=False) == f"LoRA {words} is no .safetensors file"
    shutil.copy(pickled, tmp_path / "pickle.safetensors")
    assert "pickle.safetensors is damaged (" in message(str(tmp_path / "pickle.safetensors"), load=False)


def test_a_folder_with_none_or_several_is_named(file, tmp_path):
    empty, pickles, several = (tmp_path / name for name in ("empty", "pickles", "several"))
    for folder in (empty, pickles, several):
        folder.mkdir()
    (pickles / "pytorch_lora_weights.bin").write_bytes(b"")
    shutil.copy(file, several / "a.safetensors")
    shutil.copy(file, several / "b.safetensors")
    assert message(str(empty), load=False) == f"LoRA '{empty}' holds no .safetensors file"
    assert "but pytorch_lora_weights.bin: pickles are not read" in message(str(pickles), load=False)
    assert message(str(several), load=False) == (
        f"LoRA '{several}' holds 2 files (a.safetensors, b.safetensors); give the path of one: {several}/a.safetensors"
    )
