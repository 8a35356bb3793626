"""What every built-in metric owes: equal images are equal, damage is seen, a value is its images' alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from harness.metrics import registry
from harness.metrics.pairs import cosine_distance


def distance(metric, a, b):
    """(N,), also of metrics that give vectors."""
    return metric(a, b) if metric.name == "lpips" else cosine_distance(metric(a), metric(b))


DISTANCES = ("inception", "lpips", "dinov2")


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_images_have_no_distance_and_others_do(metrics, images, name):
    assert (distance(metrics[name], images, images.copy()) == 0).all()
    assert (distance(metrics[name], images, images[::-1].copy()) > 1e-6).all()


@pytest.mark.parametrize("name", DISTANCES)
def test_a_brightness_shift_moves_it(metrics, images, name):
    """In the wrong range, or clipped, it would not."""
    for shift in (30, -30):
        moved = np.clip(images.astype(int) + shift, 0, 255).astype(np.uint8)
        assert (distance(metrics[name], images, moved) > 1e-8).all()


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("corruption", ["noise", "blur"])
def test_distance_grows_down_a_ladder(metrics, images, name, corruption):
    rungs = []
    noise = np.random.default_rng(21).normal(0, 255, images.shape)
    for size in (0.1, 0.3, 0.9):
        if corruption == "noise":
            rungs.append(np.clip(images + 0.5 * size * noise, 0, 255).astype(np.uint8))
        else:
            rungs.append(ndimage.gaussian_filter(images.astype(float), (0, 0, 3 * size, 3 * size)).astype(np.uint8))
    means = [distance(metrics[name], images, rung).mean() for rung in rungs]
    assert all(a < b for a, b in pairwise([0.0, *means])), means


def test_networks_are_in_eval_mode_and_need_no_gradients(metrics):
    for metric in metrics.values():
        network = next(v for v in vars(metric).values() if isinstance(v, torch.nn.Module))
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_a_value_is_its_images_alone(metrics, images, texts, name):
    """Not of what else is in the batch, nor of the order."""
    metric = metrics[name]
    if name == "lpips":
        whole, parts = (
            metric(images, images[::-1].copy()),
            [metric(images[i : i + 1], images[3 - i : 4 - i]) for i in range(4)],
        )
    elif name == "pickscore":
        whole, parts = metric(images, texts), [metric(images[i : i + 1], texts[i : i + 1]) for i in range(4)]
    else:
        whole, parts = metric(images), [metric(images[i : i + 1]) for i in range(4)]
    assert np.allclose(whole, np.concatenate(parts), rtol=1e-4, atol=1e-5 * np.abs(whole).max())


def test_names_ids_and_weights(metrics, places):
    assert [metrics[name].name for name in registry.BUILT_IN] == list(registry.BUILT_IN)
    assert all(metric.id for metric in metrics.values())
    digests = {metric.weights for metric in metrics.values()}
    assert len(digests) == 4
    assert all(len(digest) == 12 and int(digest, 16) >= 0 for digest in digests)
