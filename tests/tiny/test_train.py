"""The bundled prompts and the one autoencoder."""

from __future__ import annotations

import shutil

from harness.models.checkpoints.resolve import BUNDLED
from harness.tiny import world
from harness.tiny.train import prompts, share_autoencoder

VAE = "vae/diffusion_pytorch_model.safetensors"


def test_the_bundled_prompts_are_held_out_and_all_different():
    texts = prompts(64, 7_001)
    layouts = world.parse_all(texts)
    assert world.held_out(layouts).all()
    assert len(set(world.keys(layouts))) == 64


def test_the_same_autoencoder_is_not_stored_twice(tmp_path, monkeypatch):
    holder = shutil.copytree(BUNDLED / "flux-tiny" / "vae", tmp_path / "flux-tiny" / "vae")
    monkeypatch.setattr("harness.tiny.train.BUNDLED", tmp_path)
    monkeypatch.setattr("harness.tiny.train.AUTOENCODER_HOLDER", holder)
    for name in ("same", "other"):
        shutil.copytree(holder, tmp_path / name / "vae")
    (tmp_path / "other" / VAE).write_bytes(b"trained anew")
    elsewhere = tmp_path / "out" / "same"
    shutil.copytree(holder, elsewhere / "vae")
    for folder in (tmp_path / "flux-tiny", tmp_path / "same", tmp_path / "other", elsewhere):
        share_autoencoder(folder)
    left = sorted(path.relative_to(tmp_path).parts[:-2] for path in tmp_path.rglob("*.safetensors"))
    assert left == [("flux-tiny",), ("other",), ("out", "same")]
