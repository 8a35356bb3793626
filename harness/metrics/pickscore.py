"""PickScore (Kirstain et al. 2023) by transformers' CLIP: what people would prefer, for images of one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

from harness.metrics.base import TextScorer
from harness.metrics.batches import in_portions
from harness.metrics.model_files import model_folder, pretrained, processor, tokenizer
from harness.metrics.sentences import Pieces, pieces
from harness.models.checkpoints.weight_files import weights_digest
from harness.results.arrays import Features, Images, Values

NAME = "pickscore"
REPOSITORY = "yuvalkirstain/PickScore_v1"
_CONFIGS = ("config.json", "preprocessor_config.json", "tokenizer_config.json")


class PickScore(TextScorer):
    """The model's logit: its scale times the cosine of image and prompt. Long prompts are scored by sentence."""

    name = NAME

    def __init__(self, folder: Path, label: str, device: torch.device) -> None:
        self.id = label
        self.weights = weights_digest(folder)
        self._device = device
        self._model = pretrained(NAME, CLIPModel, folder, device)
        self._processor = processor(NAME, CLIPImageProcessor, folder)
        self._tokenizer = tokenizer(NAME, CLIPTokenizerFast, folder)
        self._context: int = self._model.config.text_config.max_position_embeddings
        self._texts: dict[str, Features] = {}

    def __call__(self, images: Images, texts: Sequence[str]) -> Values:
        """(N,) scores of (N, 3, H, W) uint8 images with their texts."""
        split = Pieces.of([pieces(text, self._length, self._context, NAME) for text in texts])
        features = in_portions(self._embed_images, images, most=32).astype(np.float64)[split.rows]
        read = np.stack([self._embed_text(text) for text in split.texts]).astype(np.float64)
        return split.mean(float(self._model.logit_scale.exp()) * (features * read).sum(axis=1))

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text, truncation=False).input_ids)

    def _embed_images(self, images: Images) -> Features:
        with torch.inference_mode():
            states = self._model.vision_model(pixel_values=self._processor(images).to(self._device))
            return F.normalize(self._model.visual_projection(states.pooler_output)).cpu().numpy()

    def _embed_text(self, text: str) -> Features:
        if text not in self._texts:
            with torch.inference_mode():
                states = self._model.text_model(**self._tokenizer(text, return_tensors="pt").to(self._device))
                self._texts[text] = F.normalize(self._model.text_projection(states.pooler_output))[0].cpu().numpy()
        return self._texts[text]


def make(where: str | None, device: torch.device) -> PickScore:
    """From a folder or a hub id; by default PickScore v1. Raises MetricError."""
    return PickScore(model_folder(NAME, where, REPOSITORY, _CONFIGS), where or REPOSITORY, device)
