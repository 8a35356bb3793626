"""Pretraining of the bundled text encoders with throw-away linear heads.

Trained from noise together with a transformer, small encoders leave relations at chance for
minutes; a minute of direct supervision settles them. What an encoder is asked is what its pipeline
will read from it: the token states, the pooled vector, or both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from harness.tiny import tokens, world
from harness.tiny.fit import Recipe, fit
from harness.tiny.world import Layouts

RECIPE = Recipe(steps=700, batch=256, rate=2e-3, seed=21, warm_up=50, decay_from=0.6, ema=0.99)
IGNORE = -100
NOUN_WORDS = 5
SHAPE_WORD = 4  # within a noun: "a large striped red circle"
# Five places: left, right, above, below, centre.
_HEADS = {
    "colour": len(world.COLOURS),
    "shape": len(world.SHAPES),
    "size": len(world.SIZES),
    "texture": len(world.TEXTURES),
    "place": 5,
}
_SCENE = {"background": len(world.BACKGROUNDS), "count": 2, "axis": 2}
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What the captions say, and where.

    ``named`` and ``spatial`` map a head to (N, 2) classes, in the order of naming and in the order of
    place; ``scene`` maps a scene head to (N,). ``starts`` is (N, 2), the index of the first word of each
    noun; ``background`` is (N,), the index of the background's colour.
    """

    named: dict[str, Classes]
    spatial: dict[str, Classes]
    scene: dict[str, Classes]
    starts: Classes
    background: Classes


def label(layouts: Layouts, reverse: npt.NDArray[np.bool_]) -> Labels:
    """Classes for the heads; the missing second object of a single scene is IGNORE."""
    single = layouts.count == 1
    spatial = {k: getattr(layouts, k).copy() for k in ("colour", "shape", "size", "texture")}
    spatial["place"] = np.where(single[:, None], 4, layouts.axis[:, None] * 2 + np.arange(2))
    for value in spatial.values():
        value[single, 1] = IGNORE
    flip = (reverse & ~single)[:, None]
    named = {k: np.where(flip, v[:, ::-1], v) for k, v in spatial.items()}
    axis = np.where(single, IGNORE, layouts.axis)
    second = NOUN_WORDS + np.where(layouts.axis == 0, 2, 1)  # after "left of" or "above"
    said = np.where(single, NOUN_WORDS, second + NOUN_WORDS)
    return Labels(
        named=named,
        spatial=spatial,
        scene={"background": layouts.background, "count": layouts.count - 1, "axis": axis},
        starts=np.stack([np.zeros_like(second), np.where(single, 0, second)], axis=1),
        background=said + 2,  # "on a GREY background"
    )


def build_clip(
    vocabulary: int,
    end: int,
    *,
    width: int = 64,
    layers: int = 2,
    length: int = tokens.CLIP_LENGTH,
    project: bool = False,
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """An untrained CLIP text model for the bundled tokenizer, with the projection that SD3 reads or without."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=length,
        projection_dim=width,
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )
    return CLIPTextModelWithProjection(config) if project else CLIPTextModel(config)


def build_t5(*, width: int = 64, layers: int = 2) -> T5EncoderModel:
    """An untrained T5 encoder for the bundled tokenizer."""
    return T5EncoderModel(T5Config(**_t5(width, layers)))


def build_umt5(*, width: int = 64, layers: int = 2) -> UMT5EncoderModel:
    """An untrained UMT5 encoder (T5 with position biases in every layer), as AuraFlow has."""
    return UMT5EncoderModel(UMT5Config(**_t5(width, layers)))


def _t5(width: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": len(tokens.T5_PIECES),
        "d_model": width,
        "d_kv": width // 4,
        "d_ff": 2 * width,
        "num_layers": layers,
        "num_heads": 4,
        "relative_attention_num_buckets": 16,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


@dataclass
class Exam:
    """Questions to an encoder: losses, and the count of answers that were right."""

    losses: list[Tensor]
    right: int = 0
    asked: int = 0

    def ask(self, logits: Tensor, classes: Classes) -> None:
        """``logits`` (..., n) against ``classes`` (...); IGNORE is not asked."""
        target = torch.from_numpy(np.ascontiguousarray(classes)).to(logits.device).flatten()
        logits = logits.float().flatten(0, -2)
        self.losses.append(F.cross_entropy(logits, target, ignore_index=IGNORE))
        valid = target != IGNORE
        self.right += int((logits.argmax(-1) == target)[valid].sum())
        self.asked += int(valid.sum())


class _NounHeads(nn.ModuleDict):
    """Read-outs of one object's attributes from the tokens of its noun."""

    def __init__(self, width: int) -> None:
        super().__init__({k: nn.Linear(width, n) for k, n in _HEADS.items()})

    def examine(self, exam: Exam, states: Tensor, labels: Labels, words: Sequence[int], *, ahead: bool) -> None:
        """Ask ``words`` of each noun in (N, words, w) ``states``.

        The first object's place is asked only where states may look ``ahead``: it comes after its noun.
        """
        rows = torch.arange(len(states), device=states.device)[:, None]
        for j in (0, 1):
            at = torch.from_numpy(labels.starts[:, j, None] + np.array(words)).to(states.device)
            for name, head in self.items():
                if ahead or j == 1 or name != "place":
                    exam.ask(head(states[rows, at]), np.repeat(labels.named[name][:, j, None], len(words), axis=1))


class _SceneHeads(nn.ModuleDict):
    """Read-outs of everything in the scene: per object named, per place, and as a whole."""

    def __init__(self, width: int) -> None:
        heads = {
            f"{order}_{k}_{j}": nn.Linear(width, n)
            for order in ("named", "spatial")
            for k, n in _HEADS.items()
            for j in (0, 1)
        }
        super().__init__(heads | {k: nn.Linear(width, n) for k, n in _SCENE.items()})

    def examine(self, exam: Exam, vectors: Tensor, labels: Labels, where: npt.NDArray[np.bool_]) -> None:
        """Ask every vector of (N, K, w) for which the (N, K) ``where`` is set."""

        def spread(classes: Classes) -> Classes:
            return np.where(where, classes[:, None], IGNORE)

        for order, table in (("named", labels.named), ("spatial", labels.spatial)):
            for name in _HEADS:
                for j in (0, 1):
                    exam.ask(self[f"{order}_{name}_{j}"](vectors), spread(table[name][:, j]))
        for name in _SCENE:
            exam.ask(self[name](vectors), spread(labels.scene[name]))


class Reader(nn.Module):
    """One text encoder with the heads of its examination; ``tokenizer`` pads to ``length``."""

    def __init__(self, encoder: nn.Module, tokenizer: Any, length: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.length = length

    def ids(self, captions: Sequence[str]) -> Tensor:
        """(N, length) token ids."""
        encoded = self.tokenizer(list(captions), padding="max_length", truncation=True, max_length=self.length)
        return torch.tensor(encoded["input_ids"])

    def examine(self, exam: Exam, ids: Tensor, labels: Labels) -> None:
        """Ask the encoder about captions."""
        raise NotImplementedError


class PooledClip(Reader):
    """FLUX's CLIP: only the pooled vector is used."""

    def __init__(self, encoder: nn.Module, tokenizer: Any, length: int, width: int) -> None:
        super().__init__(encoder, tokenizer, length)
        self.scene = _SceneHeads(width)

    def examine(self, exam: Exam, ids: Tensor, labels: Labels) -> None:
        """Everything from the pooled vector."""
        pooled = self.encoder(ids).pooler_output[:, None]
        self.scene.examine(exam, pooled, labels, np.ones((len(ids), 1), bool))


class CausalClip(Reader):
    """SD3's CLIPs: the states before the last layer, and the projected pooled vector.

    CLIP is causal: a noun's tokens can't know a relation that comes later, the tokens from the background on can.
    """

    def __init__(self, encoder: nn.Module, tokenizer: Any, length: int, width: int) -> None:
        super().__init__(encoder, tokenizer, length)
        self.noun, self.scene, self.pooled = _NounHeads(width), _SceneHeads(width), _SceneHeads(width)

    def examine(self, exam: Exam, ids: Tensor, labels: Labels) -> None:
        """A noun at its shape word, the scene from the background's colour through the pads, and the pooled vector."""
        out = self.encoder(ids, output_hidden_states=True)
        states = out.hidden_states[-2]
        self.noun.examine(exam, states[:, 1:], labels, (SHAPE_WORD,), ahead=False)
        self.scene.examine(exam, states[:, 1:], labels, np.arange(self.length - 1) >= labels.background[:, None])
        self.pooled.examine(exam, out.text_embeds[:, None], labels, np.ones((len(ids), 1), bool))


class Bidirectional(Reader):
    """T5 or UMT5: every token of a noun knows its object and its place, the mean token the scene."""

    def __init__(self, encoder: nn.Module, tokenizer: Any, length: int, width: int, *, masked: bool) -> None:
        super().__init__(encoder, tokenizer, length)
        self.masked = masked
        self.noun, self.scene = _NounHeads(width), _SceneHeads(width)

    def states(self, ids: Tensor) -> Tensor:
        """(N, length, w) as the pipelines make them: FLUX and SD3 without a mask, AuraFlow with zeros for pads."""
        if not self.masked:
            return self.encoder(ids).last_hidden_state
        mask = (ids != 0).long()
        return self.encoder(ids, attention_mask=mask).last_hidden_state * mask[..., None]

    def examine(self, exam: Exam, ids: Tensor, labels: Labels) -> None:
        """All words of each noun, and the mean of the tokens."""
        states = self.states(ids)
        self.noun.examine(exam, states, labels, range(NOUN_WORDS), ahead=True)
        count = (ids != 0).sum(dim=1, keepdim=True) if self.masked else self.length
        self.scene.examine(exam, (states.sum(dim=1) / count)[:, None], labels, np.ones((len(ids), 1), bool))


def train(name: str, folder: Path, readers: Sequence[Reader], device: torch.device, recipe: Recipe = RECIPE) -> None:
    """Pretrain the readers' encoders in place."""
    module = nn.ModuleList(readers).to(device)

    def examine(rng: np.random.Generator, n: int, *, unseen: bool) -> Exam:
        layouts = world.sample_split(n, rng, unseen=unseen)
        reverse = rng.random(n) < 0.5
        texts, labels, exam = world.captions(layouts, reverse), label(layouts, reverse), Exam([])
        for reader in readers:
            reader.examine(exam, reader.ids(texts).to(device), labels)
        return exam

    def loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        exam = examine(rng, recipe.batch, unseen=False)
        return torch.stack(exam.losses).mean(), {"right": exam.right / exam.asked}

    def evaluate() -> Mapping[str, float]:
        with torch.inference_mode():
            exam = examine(np.random.default_rng(recipe.seed), 512, unseen=True)
        return {"unseen_right": exam.right / exam.asked}

    fit(f"{name}-text", module, loss, recipe, folder, evaluate)
