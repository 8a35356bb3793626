"""Random inputs are what the pipelines pass."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.errors import CheckpointError
from harness.models.checkpoints.resolve import Settings
from harness.models.random_weights import checkpoint as randomised
from harness.models.random_weights.inputs import arguments
from harness.models.sampler import Sampler
from harness.tiny import auraflow, flux, render, sd3, vae
from tests.helpers.models import SPECS
from tests.helpers.random_weights import CPU, least


@pytest.mark.parametrize("name", ["flux", "sd3", "auraflow"])
def test_inputs_are_what_the_pipeline_passes(name, tmp_path):
    """Shapes, dtypes and the scale of time, against the pipeline's own call of its transformer."""
    torch.manual_seed(0)
    module = {"flux": flux, "sd3": sd3, "auraflow": auraflow}[name]
    pipeline = module.build_pipeline(tmp_path, vae.build().eval())
    pipeline.transformer.save_config(tmp_path / "own" / "transformer")
    pipeline.vae.save_config(tmp_path / "own" / "vae")
    checkpoint = randomised.resolve(str(tmp_path / "own"), "random", dtype="float32")
    settings = Settings(height=render.SIDE, width=render.SIDE, max_sequence_length=20, batch=2)
    checkpoint = dataclasses.replace(checkpoint, settings=settings)
    given = Sampler(pipeline, SPECS[name], settings, batch=2).forward_arguments(["red", "blue"])
    made = arguments(checkpoint, CPU, torch.float32)
    assert set(made) == {key for key, value in given.items() if torch.is_tensor(value) or value is False}
    for key, value in made.items():
        if torch.is_tensor(value):
            assert value.shape == given[key].shape, key
            assert value.dtype == given[key].dtype, key
    for key in ("img_ids", "txt_ids"):
        assert key not in made or torch.equal(made[key], given[key])
    scale = float(given["timestep"].max())  # the first step is all noise
    assert scale == (1000 if name == "sd3" else 1)
    assert 0 < made["timestep"].min() < made["timestep"].max() < scale


def test_full_size_runs_on_the_tokens_of_the_checkpoints_resolution():
    tokens = {"flux.1-schnell": (4096, 256), "flux.1-dev": (4096, 512)}
    for name, (image, text) in tokens.items():
        checkpoint = randomised.resolve(name, "random")
        made = arguments(checkpoint, CPU, torch.bfloat16)
        assert made["hidden_states"].shape == (1, image, 64)
        assert made["encoder_hidden_states"].shape == (1, text, 4096)
        assert ("guidance" in made) == (name == "flux.1-dev")
    made = arguments(randomised.resolve("sd3.5-large", "random"), CPU, torch.bfloat16)
    assert made["hidden_states"].shape == (1, 16, 128, 128)
    assert made["encoder_hidden_states"].shape == (1, 77 + 256, 4096)
    made = arguments(randomised.resolve("auraflow-v0.2", "random"), CPU, torch.float16)
    assert made["hidden_states"].shape == (1, 4, 128, 128)
    assert randomised.resolve("flux.1-schnell", "random:small").settings.batch == 8


def test_an_image_larger_than_the_models_positions_is_refused():
    with pytest.raises(CheckpointError, match="64 x 64 positions, an image of 2048 x 1024 px takes 128 x 64; give"):
        arguments(least("auraflow-v0.2", height=2048, width=1024), CPU, torch.float32)
