"""DINOv2's features are transformers' own."""

from __future__ import annotations

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModel


def test_dinov2_is_transformers_own(metrics, places, images):
    prepare = AutoImageProcessor.from_pretrained(places / "dinov2")
    model = AutoModel.from_pretrained(places / "dinov2").eval()
    with torch.inference_mode():
        direct = model(**prepare(list(images), return_tensors="pt")).pooler_output.numpy()
    assert np.array_equal(metrics["dinov2"](images), direct)
