"""The judge: an open_clip model loaded from a folder, for prompt scores and image features."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import CheckpointError, PromptError
from harness.loading import check_weights, weights_digest

Features = npt.NDArray[np.float32]


class OpenClipJudge:
    """Unit-length image and text features of an open_clip model; the score is their cosine x 100.

    Raises CheckpointError where the folder is no open_clip folder or has no weights: open_clip itself
    would go on with a random model and a warning.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        config = folder / "open_clip_config.json"
        if not config.is_file():
            raise CheckpointError(f"judge {folder} is no open_clip folder: {config.name} is not there")
        check_weights(folder / "open_clip_model.safetensors")
        name = f"local-dir:{folder}"
        try:
            with _Quiet():
                model, _ = open_clip.create_model_from_pretrained(name, device=device)
                self._tokenizer: Any = open_clip.get_tokenizer(name)
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            raise CheckpointError(f"judge {folder} doesn't load: {str(error).splitlines()[0]}") from error
        self.id = weights_digest(folder)
        self.device = device
        self.model: Any = cast("Any", model).eval().requires_grad_(False)
        settings = json.loads(config.read_text())
        self._side: int = settings["model_cfg"]["vision_cfg"]["image_size"]
        mean, std = (settings["preprocess_cfg"][k] for k in ("mean", "std"))
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (mean, std))
        self._texts: dict[str, Tensor] = {}

    def embed_images(self, images: npt.NDArray[np.uint8], batch: int = 64) -> Features:
        """(N, 3, H, W) uint8 to (N, d) float32 of unit length."""
        parts: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                pixels = torch.from_numpy(images[start : start + batch]).to(self.device).float().div(255)
                if pixels.shape[-2:] != (self._side, self._side):
                    pixels = F.interpolate(pixels, (self._side, self._side), mode="bicubic", antialias=True).clamp(0, 1)
                parts.append(self.model.encode_image((pixels - self._mean) / self._std, normalize=True))
        return torch.cat(parts).float().cpu().numpy()

    def embed_texts(self, texts: Sequence[str]) -> Features:
        """(N, d) float32 of unit length; a text is encoded once.

        Raises PromptError for a text that the tokenizer would cut off: its score would not be its own.
        """
        fresh = [t for t in dict.fromkeys(texts) if t not in self._texts]
        if fresh:
            for text in fresh:
                self._check(text)
            with torch.inference_mode():
                features = self.model.encode_text(self._tokenizer(fresh).to(self.device), normalize=True)
            self._texts |= dict(zip(fresh, features.float().cpu(), strict=True))
        return torch.stack([self._texts[t] for t in texts]).numpy()

    def score(self, features: Features, texts: Sequence[str]) -> Features:
        """(N,) cosine x 100 of image features with their texts."""
        return cast("Features", 100.0 * (features * self.embed_texts(texts)).sum(axis=1))

    def _check(self, text: str) -> None:
        length = len(self._tokenizer.tokenizer(text, truncation=False).input_ids)
        if length > self._tokenizer.context_length:
            raise PromptError(
                f"the judge reads {self._tokenizer.context_length} tokens, this prompt has {length}: {text[:60]!r}"
            )


class _Quiet:
    """open_clip logs a page to the root logger at every load."""

    def __enter__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._before)
