"""Models of reduced size with random weights, on as few tokens as there can be."""

from __future__ import annotations

import dataclasses

import torch

from harness.models.random_weights import checkpoint as randomised

CPU = torch.device("cpu")
# One of each family, and both halves of what differs inside them: guidance, dual attention, norms; in every dtype.
MODELS = {"flux.1-dev": "bfloat16", "sd3-medium": "float16", "sd3.5-medium": "bfloat16", "auraflow-v0.2": "float32"}


def least(name, dtype="float32", **changes):
    """A model's reduced size, on as few tokens as there can be."""
    made = randomised.resolve(name, "random:small", dtype=dtype)
    settings = dataclasses.replace(made.settings, **{"height": 32, "width": 32, "batch": 2} | changes)
    return dataclasses.replace(made, settings=settings)
