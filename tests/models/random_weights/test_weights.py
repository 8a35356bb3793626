"""Random weights: the real architecture without a download, no block a no-op, and nothing said of quality."""

from __future__ import annotations

import dataclasses

import diffusers
import pytest
import torch

from harness.errors import CheckpointError
from harness.lab.random_lab import RandomLab
from harness.models.memory import Room
from harness.models.random_weights import checkpoint as randomised
from harness.models.random_weights.weights import build, refusal
from tests.helpers.random_weights import CPU, least


def test_weights_are_seeded_and_where_they_should_be():
    checkpoint = least("sd3.5-medium", "bfloat16")
    first, again, other = (build(checkpoint, CPU, torch.bfloat16, seed) for seed in (0, 0, 1))
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert a.dtype == torch.bfloat16
        assert not a.is_meta
        assert not a.requires_grad
        assert torch.equal(a, b)
        assert not torch.equal(a, c), name
        assert a.float().std() > 0.01, name  # no gate shut, no norm of ones
    plain = diffusers.SD3Transformer2DModel.from_config(dict(checkpoint.config))
    assert torch.equal(first.pos_embed.pos_embed, plain.pos_embed.pos_embed.bfloat16())
    assert first.state_dict().keys() == plain.state_dict().keys()


def test_what_does_not_fit_is_refused_with_the_arithmetic():
    wide, small = (randomised.resolve("flux.1-schnell", kind, dtype="float32") for kind in ("random", "random:small"))
    parameters = 11_900_000_000
    assert refusal(wide, parameters, Room("cuda:0", int(48e9), 0)) == ""
    assert refusal(wide, parameters, Room("cuda:0", int(24e9), 0)) == (
        "checkpoint 'flux.1-schnell-random' doesn't fit: 11.90 billion parameters x 4 bytes (float32) are 47.6 GB, "
        "24.0 GB are free on cuda:0; try --dit-dtype=bfloat16 (23.8 GB), or --dit-weights=random:small"
    )
    assert refusal(wide, parameters, Room("cpu", int(8e9), 0)).endswith("on cpu; try --dit-weights=random:small")
    assert refusal(small, 5_000_000, Room("cpu", 1000, 0)).endswith("on cpu; use a larger machine")


@pytest.mark.parametrize("damage", [{"attention_head_dim": -8}, {"num_attention_heads": "many"}])
def test_a_config_that_builds_no_model_is_named(damage):
    made = randomised.resolve("flux-tiny", "random")
    broken = dataclasses.replace(made, config={**made.config, **damage})
    with pytest.raises(CheckpointError, match="no FluxTransformer2DModel can be built from its transformer's config"):
        RandomLab(broken, device=CPU).control_measurement()
