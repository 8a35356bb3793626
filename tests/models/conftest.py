"""A LoRA for flux-tiny."""

from __future__ import annotations

import pytest
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers.loras import weights


@pytest.fixture(scope="session")
def made():
    """A LoRA for flux-tiny: 5 double and 10 single blocks."""
    return weights(FluxTransformer2DModel.from_pretrained(BUNDLED / "flux-tiny" / "transformer"), ("to_q", "to_v"))


@pytest.fixture
def file(tmp_path, made):
    save_file(made, str(tmp_path / "style.safetensors"))
    return tmp_path / "style.safetensors"
