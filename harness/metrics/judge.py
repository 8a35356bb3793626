"""The judge: an open_clip model loaded from a folder, for prompt scores and image features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.metrics import openclip
from harness.metrics.batches import in_portions
from harness.metrics.sentences import Pieces, pieces
from harness.results.arrays import Features, Images


class OpenClipJudge:
    """Unit-length image and text features of an open_clip model; the score is their cosine x 100.

    ``where`` is what :func:`harness.metrics.openclip.find` takes, or what it found. A text that is longer than the
    model reads is scored by its sentences (:func:`harness.models.prompts.sentences`).

    Raises CheckpointError where its files are missing or don't load: open_clip itself would go on with a random
    model and a warning.
    """

    def __init__(self, where: openclip.Source | Path | str, device: torch.device) -> None:
        source = where if isinstance(where, openclip.Source) else openclip.find(where)
        self.model, self._tokenizer = openclip.load(source, device)
        self.id = source.id
        self.device = device
        side: Any = self.model.visual.image_size
        self._size: tuple[int, int] = (side, side) if isinstance(side, int) else (side[0], side[1])
        self._crops = source.preprocess.get("resize_mode", "shortest") == "shortest"
        bilinear = source.preprocess.get("interpolation") == "bilinear"
        self._resize = partial(F.interpolate, mode="bilinear" if bilinear else "bicubic", antialias=True)
        mean, std = (source.preprocess[k] for k in ("mean", "std"))
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (mean, std))
        self._texts: dict[str, Tensor] = {}
        self._split: dict[str, tuple[str, ...]] = {}  # sentences by prompt, counted once

    def embed_images(self, images: Images, batch: int = 64) -> Features:
        """(N, 3, H, W) uint8 to (N, d) float32 of unit length.

        Images of another size are resized as the model's own preprocessing says: to its shorter side and cropped at
        the centre, or squashed.
        """

        def read(some: Images) -> Features:
            with torch.inference_mode():
                pixels = self._fit(torch.from_numpy(some).to(self.device).float().div(255))
                features = self.model.encode_image((pixels - self._mean) / self._std, normalize=True)
                return cast("Tensor", features).float().cpu().numpy()

        return in_portions(read, images, most=batch)

    def _fit(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        if (height, width) == self._size:
            return pixels
        if not self._crops:
            return self._resize(pixels, self._size).clamp(0, 1)
        size = _covering((height, width), self._size)
        # torchvision's CenterCrop rounds half a pixel to the even one.
        top, left = (round((full - kept) / 2) for full, kept in zip(size, self._size, strict=True))
        resized = self._resize(pixels, size).clamp(0, 1)
        return resized[..., top : top + self._size[0], left : left + self._size[1]]

    def embed_texts(self, texts: Sequence[str]) -> Features:
        """(N, d) float32 of unit length, of texts that fit; a text is encoded once."""
        fresh = [t for t in dict.fromkeys(texts) if t not in self._texts]
        if fresh:
            with torch.inference_mode():
                features = self.model.encode_text(self._tokenizer(fresh).to(self.device), normalize=True)
            self._texts |= dict(zip(fresh, features.float().cpu(), strict=True))
        return torch.stack([self._texts[t] for t in texts]).numpy()

    def splits(self, texts: Sequence[str]) -> bool:
        """Read texts ahead of any image; whether one of them is longer than the model reads at once.

        Raises PromptError for a sentence that the tokenizer would cut off: its score would not be its own.
        """
        split = self._pieces(texts)
        self.embed_texts(split.texts)
        return len(split.texts) > len(texts)

    def score(self, features: Features, texts: Sequence[str]) -> Features:
        """(N,) cosine x 100 of image features with their texts; the mean over sentences of a long one."""
        split = self._pieces(texts)
        return split.mean(self._cosines(features, split))

    def least(self, features: Features, texts: Sequence[str]) -> Features:
        """(N,) as :meth:`score`, the minimum over sentences."""
        split = self._pieces(texts)
        return split.least(self._cosines(features, split))

    def _cosines(self, features: Features, split: Pieces) -> Features:
        return cast("Features", 100.0 * (features[split.rows] * self.embed_texts(split.texts)).sum(axis=1))

    def _pieces(self, texts: Sequence[str]) -> Pieces:
        for text in texts:
            if text not in self._split:
                self._split[text] = pieces(text, self._length, self._tokenizer.context_length)
        return Pieces.of([self._split[text] for text in texts])

    def _length(self, text: str) -> int:
        """Tokens with the start and the end; open_clip's own tokenizer and transformers' have no way in common."""
        inner = getattr(self._tokenizer, "tokenizer", None)
        if inner is None:
            return len(self._tokenizer.encode(text)) + 2
        return len(inner(self._tokenizer.clean_fn(text), truncation=False).input_ids)


def _covering(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) that an image is resized to before its centre of ``target`` is cropped out.

    As open_clip's own preprocessing: for a square target torchvision's Resize, which rounds the longer side down, and
    for any other open_clip's ResizeKeepRatio, which rounds it to the nearest.
    """
    if target[0] == target[1]:
        short = min(source)
        return (target[0] * source[0] // short, target[0] * source[1] // short)
    ratio = min(side / wanted for side, wanted in zip(source, target, strict=True))
    return (max(target[0], round(source[0] / ratio)), max(target[1], round(source[1] / ratio)))
