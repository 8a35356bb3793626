"""What there is: whether a checkpoint's weights are here."""

from __future__ import annotations

from harness.cli.inventory import cached


def test_whether_weights_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert cached("org/model", 12.4) == "not here, 12 GB"
    repository = tmp_path / "models--org--model"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "abc.incomplete").write_text("")
    assert cached("org/model") == "half-downloaded"
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    snapshot = repository / "snapshots" / "abc123"
    (snapshot / "transformer").mkdir(parents=True)
    assert cached("org/model") == "half-downloaded: model_index.json is missing"
    (snapshot / "model_index.json").write_text('{"transformer": ["diffusers", "FluxTransformer2DModel"]}')
    (snapshot / "transformer" / "config.json").write_text("{}")
    assert cached("org/model", 3) == ("half-downloaded, 3 GB: transformer/*.safetensors is missing")
    (snapshot / "transformer" / "diffusion_pytorch_model-00001-of-00002.safetensors").write_text("")
    assert cached("org/model") == (
        "half-downloaded: transformer/diffusion_pytorch_model.safetensors.index.json is missing"
    )
    (snapshot / "transformer" / "diffusion_pytorch_model.safetensors").write_text("")
    assert cached("org/model") == "here"
