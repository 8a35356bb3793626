"""DINOv2 (Oquab et al. 2023) by transformers: the class token, whose cosine is what Stable Flow's vitality reads."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BitImageProcessor, Dinov2Model

from harness.metrics.base import Embedder
from harness.metrics.batches import in_portions
from harness.metrics.model_files import model_folder, pretrained, processor
from harness.models.checkpoints.weight_files import weights_digest
from harness.results.arrays import Features, Images

NAME = "dinov2"
REPOSITORY = "facebook/dinov2-base"
_CONFIGS = ("config.json", "preprocessor_config.json")


class DinoV2(Embedder):
    """The class token after the last norm, of images prepared as the folder's preprocessor_config.json says."""

    name = NAME

    def __init__(self, folder: Path, label: str, device: torch.device) -> None:
        self.id = label
        self.weights = weights_digest(folder)
        self._device = device
        self._model = pretrained(NAME, Dinov2Model, folder, device)
        self._processor = processor(NAME, BitImageProcessor, folder)

    def __call__(self, images: Images) -> Features:
        """(N, 3, H, W) uint8 to (N, d) float32."""

        def read(some: Images) -> Features:
            with torch.inference_mode():
                states = self._model(pixel_values=self._processor(some).to(self._device)).last_hidden_state
                return states[:, 0].cpu().numpy()

        return in_portions(read, images, most=32)


def make(where: str | None, device: torch.device) -> DinoV2:
    """From a folder or a hub id; by default DINOv2-base. Raises MetricError."""
    return DinoV2(model_folder(NAME, where, REPOSITORY, _CONFIGS), where or REPOSITORY, device)
