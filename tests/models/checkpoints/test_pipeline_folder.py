"""What a pipeline's folder has to hold."""

from __future__ import annotations

import json
import shutil

import pytest

from harness.errors import CheckpointError
from harness.models.checkpoints.pipeline_folder import first_missing, header, name_inside, shards, weights_folder
from harness.models.checkpoints.resolve import BUNDLED, bundled_names


def test_a_component_that_was_dropped_is_not_missed():
    folder = BUNDLED / "flux-tiny"
    index = json.loads((folder / "model_index.json").read_text())
    assert index["image_encoder"] == [None, None]
    index["text_encoder_3"] = index["tokenizer_3"] = [None, None]
    assert first_missing(folder, index) is None


@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_a_processor_is_whole_by_its_file_of_older_or_of_newer_transformers(tmp_path, file):
    index = {"processor": ["transformers", "Qwen2VLProcessor"]}
    assert first_missing(tmp_path, index) == "processor/preprocessor_config.json"
    (tmp_path / "processor").mkdir()
    (tmp_path / "processor" / file).write_text("{}")
    assert first_missing(tmp_path, index) is None


@pytest.mark.parametrize(
    "header_text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1e999]}}',
        '{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [' + "9" * 5000 + '], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        '{"a": "b"}',
        "[]",
        "null",
        "\xff",
    ],
    ids=["lists", "objects", "shape", "offset", "nan", "digits", "one-offset", "text", "list", "null", "no-text"],
)
def test_a_header_that_is_none_is_one_line(tmp_path, header_text):
    path = tmp_path / "model.safetensors"
    data = header_text.encode("latin-1")
    path.write_bytes(len(data).to_bytes(8, "little") + data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged \(.*; fetch or save it again"):
        header(path)


def test_the_bundled_autoencoder_is_stored_once_and_is_that_of_every_bundled_checkpoint(monkeypatch):
    (stored,) = BUNDLED.glob("*/vae/*.safetensors")
    for name in bundled_names():
        assert shards(BUNDLED / name / "vae") == [stored]
        assert name_inside(BUNDLED / name, stored) == "vae/diffusion_pytorch_model.safetensors"
    monkeypatch.chdir(BUNDLED)
    assert [path.resolve() for path in shards((BUNDLED / "sd3-tiny" / "vae").relative_to(BUNDLED))] == [stored]


def test_nobody_else_gets_it(tmp_path):
    folder = shutil.copytree(BUNDLED / "sd3-tiny", tmp_path / "sd3-tiny")
    assert weights_folder(folder / "vae") == folder / "vae"
    assert shards(folder / "vae") == []
    assert weights_folder(BUNDLED / "sd3-tiny" / "transformer") == BUNDLED / "sd3-tiny" / "transformer"


def test_one_of_its_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.models.checkpoints.pipeline_folder.BUNDLED", tmp_path)
    folder = shutil.copytree(BUNDLED / "flux-tiny" / "vae", tmp_path / "mine" / "vae")
    assert shards(folder) == [folder / "diffusion_pytorch_model.safetensors"]
