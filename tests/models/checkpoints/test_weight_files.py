"""The digest of a checkpoint's weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import harness
from harness.models.checkpoints import weight_files
from harness.models.checkpoints.pipeline_folder import AUTOENCODER_HOLDER
from harness.models.checkpoints.resolve import BUNDLED, bundled_names
from tests.helpers import hubs


def test_another_blob_is_another_digest(cache):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    before = weight_files.weights_digest(snapshot)
    link = snapshot / "transformer" / "diffusion_pytorch_model.safetensors"
    other = link.resolve().with_name("f" * 64)
    other.write_bytes(link.read_bytes())
    link.unlink()
    link.symlink_to(other)
    assert weight_files.weights_digest(snapshot) != before


@pytest.mark.parametrize("name", bundled_names())
def test_the_shared_autoencoder_counts_as_if_each_checkpoint_had_a_copy(name, tmp_path):
    folder = shutil.copytree(BUNDLED / name, tmp_path / name)
    shutil.copytree(AUTOENCODER_HOLDER, folder / "vae", dirs_exist_ok=True)
    digest = weight_files.weights_digest(BUNDLED / name)
    assert weight_files.weights_digest(folder) == digest
    stored = Path(harness.__file__).parents[1] / "baselines" / name / "cpu-float32.json"
    assert json.loads(stored.read_text())["facts"]["weights"] == digest
