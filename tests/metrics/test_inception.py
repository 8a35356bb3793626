"""Inception's features are torchmetrics' own."""

from __future__ import annotations

import numpy as np
import torch
from torchmetrics.image.fid import NoTrainInceptionV3


def test_inception_is_torchmetrics_own(metrics, places, images):
    direct = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(places / "inception" / "original.pth"))
    assert np.array_equal(metrics["inception"](images), direct(torch.from_numpy(images)).numpy())
