"""One batch and one forward are really timed."""

from __future__ import annotations

import torch

from harness.lab.throughput import measure_throughput
from harness.models.checkpoints.resolve import resolve


def test_a_batch_takes_longer_than_its_forward(lab):
    found = measure_throughput(resolve("flux-tiny"), lab.prompts[:2], torch.device("cpu"))
    assert (found.images, found.device) == (2, "cpu")
    assert found.batch > found.forward > 0  # a batch is several forwards, and the autoencoder
