"""The autoencoder's training."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.tiny import vae


@pytest.mark.e2e
def test_the_autoencoder_trains_and_resumes(tmp_path):
    recipe = dataclasses.replace(vae.RECIPE, steps=2, batch=4, checkpoint_every=1)
    first = vae.train(tmp_path, torch.device("cpu"), recipe)
    again = vae.train(tmp_path, torch.device("cpu"), recipe)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert first.config.scaling_factor == again.config.scaling_factor > 0
