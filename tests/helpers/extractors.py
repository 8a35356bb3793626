"""Weights for extra metrics, made here: small or random, in the formats that their libraries save."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import torch
import torchmetrics.functional.image.lpips as torchmetrics_lpips
import torchvision
from safetensors.torch import save_file
from torchmetrics.image.fid import NoTrainInceptionV3
from transformers import (
    AutoTokenizer,
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
)

from harness.cli.convert import convert
from harness.metrics import inception, lpips
from harness.models.checkpoints.resolve import BUNDLED

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CLIP_TOKENIZER = BUNDLED / "flux-tiny" / "tokenizer"


def write_weights(root):
    """Weights of every built-in metric: random, but for the heads of LPIPS, which torchmetrics brings."""
    torch.manual_seed(0)
    _write_inception(root / "inception")
    (root / "lpips").mkdir()
    save_file(torchvision.models.alexnet(weights=None).state_dict(), root / "lpips" / lpips.BACKBONE)
    heads = torchmetrics_lpips.__file__.replace("lpips.py", "lpips_models/alex.pth")
    convert(Path(heads), root / "lpips" / lpips.HEADS)
    Dinov2Model(Dinov2Config(**TINY, image_size=28, patch_size=7)).save_pretrained(root / "dinov2")
    BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}).save_pretrained(
        root / "dinov2"
    )
    read = AutoTokenizer.from_pretrained(CLIP_TOKENIZER)
    config = CLIPConfig(
        text_config={
            **TINY,
            "vocab_size": len(read),
            "max_position_embeddings": 20,
            "eos_token_id": read.eos_token_id,
            "intermediate_size": 64,
        },
        vision_config={**TINY, "image_size": 32, "patch_size": 8, "intermediate_size": 64},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(root / "pickscore")
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        root / "pickscore"
    )
    for path in CLIP_TOKENIZER.iterdir():
        shutil.copy(path, root / "pickscore")


def _write_inception(folder):
    """Random weights, of a size that keeps the signal alive through ninety layers."""

    class Fresh(NoTrainInceptionV3):
        def load_state_dict(self, _):
            return None

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    network = Fresh("random", ["2048"], nothing)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    folder.mkdir()
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / inception.FILE)
    torch.save(network.state_dict(), folder / "original.pth")
