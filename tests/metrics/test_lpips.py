"""LPIPS is torchmetrics' own, from two files or from one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as torchmetrics_lpips
import torchvision
from safetensors.torch import load_file, save_file

from harness.errors import MetricError
from harness.metrics import lpips

CPU = torch.device("cpu")


def test_lpips_is_torchmetrics_own(metrics, places, images, monkeypatch):
    """With its own reading of its own pickled heads; only AlexNet's weights, which it would download, are handed in."""
    backbone = torchvision.models.alexnet(weights=None)
    backbone.load_state_dict(load_file(places / "lpips" / lpips.BACKBONE))
    monkeypatch.setattr(torchmetrics_lpips, "_get_tv_model_features", lambda *_: backbone.features)
    a, b = (torch.from_numpy(x.copy()).float().div(255) for x in (images, images[::-1]))
    direct = torchmetrics_lpips.learned_perceptual_image_patch_similarity(a, b, "alex", "none", normalize=True)
    assert np.array_equal(metrics["lpips"](images, images[::-1].copy()), direct.double().numpy())


def test_lpips_in_one_file_is_the_same(metrics, places, images, tmp_path):
    """As the LPIPS package saves its whole module."""
    whole = {
        f"net.slice9.{k[9:]}" if k.startswith("features.") else k: v
        for k, v in load_file(places / "lpips" / lpips.BACKBONE).items()
    }
    heads = load_file(places / "lpips" / lpips.HEADS)
    save_file(whole | {k.replace("lin", "lins.", 1): v for k, v in heads.items()}, tmp_path / "all.safetensors")
    one = lpips.make(str(tmp_path / "all.safetensors"), CPU)
    assert np.array_equal(one(images, images[::-1].copy()), metrics["lpips"](images, images[::-1].copy()))


def test_images_too_small_for_lpips_are_named(metrics):
    small = np.zeros((1, 3, 24, 24), np.uint8)
    with pytest.raises(MetricError, match="images of 24x24 px; it needs 32 px"):
        metrics["lpips"](small, small)
