"""Pretraining of the bundled text encoders with throw-away linear heads.

Trained from noise together with a transformer, small encoders leave relations at chance for
minutes; half a minute of direct supervision settles them. Every token of a noun must tell its own
object's attributes *and its place*; pooled vectors must tell everything about the scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

from harness.tiny import tokens, world
from harness.tiny.fit import Recipe, fit
from harness.tiny.world import Layouts

RECIPE = Recipe(steps=700, batch=256, rate=2e-3, seed=21, warm_up=50, decay_from=0.6, ema=0.99)
IGNORE = -100
NOUN_WORDS = 5
# Five places: left, right, above, below, centre.
HEADS = {
    "colour": len(world.COLOURS),
    "shape": len(world.SHAPES),
    "size": len(world.SIZES),
    "texture": len(world.TEXTURES),
    "place": 5,
}
SCENE = {"background": len(world.BACKGROUNDS), "count": 2, "axis": 2}


@dataclass(frozen=True)
class Labels:
    """What the captions say.

    ``named`` and ``spatial`` map a head to (N, 2) classes, in the order of naming and in the order of
    place; ``scene`` maps a scene head to (N,).
    """

    named: dict[str, npt.NDArray[np.int64]]
    spatial: dict[str, npt.NDArray[np.int64]]
    scene: dict[str, npt.NDArray[np.int64]]


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
    return Labels(named, spatial, {"background": layouts.background, "count": layouts.count - 1, "axis": axis})


def build_clip(vocabulary: int, end: int, *, width: int = 64, layers: int = 2) -> CLIPTextModel:
    """An untrained CLIP text model for the bundled tokenizer."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=tokens.CLIP_LENGTH,
            projection_dim=width,
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def build_t5(*, width: int = 64, layers: int = 2) -> T5EncoderModel:
    """An untrained T5 encoder for the bundled tokenizer."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokens.T5_PIECES),
            d_model=width,
            d_kv=width // 4,
            d_ff=2 * width,
            num_layers=layers,
            num_heads=4,
            relative_attention_num_buckets=16,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    )


class Heads(nn.Module):
    """Linear read-outs: per token for T5, over the whole scene for each pooled vector."""

    def __init__(self, token_width: int, pooled_widths: Sequence[int]) -> None:
        super().__init__()
        self.token = nn.ModuleDict({k: nn.Linear(token_width, n) for k, n in HEADS.items()})
        self.scenes = nn.ModuleList(
            nn.ModuleDict(
                {
                    f"{order}_{k}_{j}": nn.Linear(w, n)
                    for order in ("named", "spatial")
                    for k, n in HEADS.items()
                    for j in (0, 1)
                }
                | {k: nn.Linear(w, n) for k, n in SCENE.items()}
            )
            for w in pooled_widths
        )

    def forward(self, states: Tensor, pooled: Sequence[Tensor], labels: Labels, starts: Tensor) -> tuple[Tensor, float]:
        """(summed loss, share of right answers). ``starts`` is (N, 2): the first token of each noun."""
        losses: list[Tensor] = []
        right = asked = 0

        def ask(logits: Tensor, classes: npt.NDArray[np.int64]) -> None:
            nonlocal right, asked
            target = torch.from_numpy(np.ascontiguousarray(classes)).to(logits.device)
            losses.append(F.cross_entropy(logits.float(), target, ignore_index=IGNORE))
            valid = target != IGNORE
            right += int((logits.argmax(-1) == target)[valid].sum())
            asked += int(valid.sum())

        rows = torch.arange(len(states), device=states.device)[:, None]
        for j in (0, 1):
            span = starts[:, j, None] + torch.arange(NOUN_WORDS, device=states.device)
            noun = states[rows, span]  # (N, NOUN_WORDS, width)
            for name, head in self.token.items():
                ask(head(noun).flatten(0, 1), np.repeat(labels.named[name][:, j], NOUN_WORDS))
        for vector, scene in zip(pooled, self.scenes, strict=True):
            assert isinstance(scene, nn.ModuleDict)
            for order, table in (("named", labels.named), ("spatial", labels.spatial)):
                for name in HEADS:
                    for j in (0, 1):
                        ask(scene[f"{order}_{name}_{j}"](vector), table[name][:, j])
            for name in SCENE:
                ask(scene[name](vector), labels.scene[name])
        return torch.stack(losses).mean(), right / max(1, asked)


def noun_starts(layouts: Layouts) -> npt.NDArray[np.int64]:
    """(N, 2) word index of the first word of each noun (0 for the missing one, whose labels are IGNORE)."""
    words = np.where(layouts.axis == 0, 2, 1)  # "left of" / "above"
    return np.stack([np.zeros_like(words), np.where(layouts.count == 2, NOUN_WORDS + words, 0)], axis=1)


def train(
    folder: Path,
    clip: CLIPTextModel,
    clip_tokenizer: CLIPTokenizer,
    t5: T5EncoderModel,
    t5_tokenizer: T5TokenizerFast,
    device: torch.device,
    recipe: Recipe = RECIPE,
) -> None:
    """Pretrain both encoders in place."""
    heads = Heads(t5.config.d_model, (clip.config.hidden_size, t5.config.d_model)).to(device)
    module = nn.ModuleDict({"clip": clip, "t5": t5, "heads": heads})

    def measure(rng: np.random.Generator, n: int, *, unseen: bool) -> tuple[Tensor, float]:
        layouts = world.sample_split(n, rng, unseen=unseen)
        reverse = rng.random(n) < 0.5
        texts = world.captions(layouts, reverse)
        ids = [
            torch.tensor(tok(texts, padding="max_length", truncation=True)["input_ids"], device=device)
            for tok in (clip_tokenizer, t5_tokenizer)
        ]
        starts = torch.from_numpy(noun_starts(layouts)).to(device)
        pooled = clip(ids[0]).pooler_output
        states = t5(ids[1]).last_hidden_state  # without a mask, as FluxPipeline calls it
        loss, right = heads(states, (pooled, states.mean(dim=1)), label(layouts, reverse), starts)
        return loss, right

    def loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        value, right = measure(rng, recipe.batch, unseen=False)
        return value, {"right": right}

    def evaluate() -> Mapping[str, float]:
        with torch.inference_mode():
            return {"unseen_right": measure(np.random.default_rng(recipe.seed), 512, unseen=True)[1]}

    fit("text", module, loss, recipe, folder, evaluate)
