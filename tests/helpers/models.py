"""Small models with random weights in diffusers' own classes, for what needs no training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AuraFlowTransformer2DModel, FluxTransformer2DModel, SD3Transformer2DModel
from packaging.version import Version
from torch import nn

from harness.models.spec import AURAFLOW, FLUX, SD3
from harness.models.stacks import blocks_at, find_stack
from harness.surgery.view import ablate
from harness.tiny import auraflow as tiny_auraflow
from harness.tiny import flux as tiny_flux
from harness.tiny import sd3 as tiny_sd3
from harness.tiny import vae as tiny_vae


def perturbed(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter random: diffusers' initialisation leaves gates near zero and hides what blocks do."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.3 if parameter.ndim < 2 else 0.6 / parameter[0].numel() ** 0.5
            parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    return model.eval()


def flux(doubles: int = 4, singles: int = 6) -> tuple[nn.Module, dict[str, Any]]:
    model = FluxTransformer2DModel(
        in_channels=8,
        num_layers=doubles,
        num_single_layers=singles,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        pooled_projection_dim=10,
        axes_dims_rope=(2, 2, 4),
    )
    generator = torch.Generator().manual_seed(1)
    arguments = {
        "hidden_states": torch.randn(2, 9, 8, generator=generator),
        "encoder_hidden_states": torch.randn(2, 5, 12, generator=generator),
        "pooled_projections": torch.randn(2, 10, generator=generator),
        "timestep": torch.tensor([0.3, 0.8]),
        "img_ids": torch.cat([torch.zeros(9, 1), torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0))], dim=1),
        "txt_ids": torch.zeros(5, 3),
        "return_dict": False,
    }
    return perturbed(model), arguments


def sd3(blocks: int = 6, dual: tuple[int, ...] = ()) -> tuple[nn.Module, dict[str, Any]]:
    model = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=blocks,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        caption_projection_dim=16,
        pooled_projection_dim=10,
        out_channels=4,
        pos_embed_max_size=8,
        dual_attention_layers=dual,
        qk_norm="rms_norm",
    )
    generator = torch.Generator().manual_seed(1)
    arguments = {
        "hidden_states": torch.randn(2, 4, 8, 8, generator=generator),
        "encoder_hidden_states": torch.randn(2, 5, 12, generator=generator),
        "pooled_projections": torch.randn(2, 10, generator=generator),
        "timestep": torch.tensor([300.0, 800.0]),
        "return_dict": False,
    }
    return perturbed(model), arguments


def auraflow(doubles: int = 4, singles: int = 6) -> tuple[nn.Module, dict[str, Any]]:
    model = AuraFlowTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=doubles,
        num_single_dit_layers=singles,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        caption_projection_dim=16,
        out_channels=4,
        pos_embed_max_size=16,
    )
    generator = torch.Generator().manual_seed(1)
    arguments = {
        "hidden_states": torch.randn(2, 4, 8, 8, generator=generator),
        "encoder_hidden_states": torch.randn(2, 5, 12, generator=generator),
        "timestep": torch.tensor([0.3, 0.8]),
        "return_dict": False,
    }
    return perturbed(model), arguments


FAMILIES = {"flux": flux, "sd3": sd3, "auraflow": auraflow}
SPECS = {family.name: family for family in (FLUX, SD3, AURAFLOW)}
STACKS = [("flux", "double"), ("flux", "single"), ("sd3", "joint"), ("auraflow", "double"), ("auraflow", "single")]


def one_tensor(transformer: nn.Module, stack: str) -> bool:
    """Whether a stack's blocks return text and image as one tensor, by hand: FLUX's single ones did before 0.35."""
    old = Version(diffusers.__version__) < Version("0.35")
    return stack == "single" and (isinstance(transformer, AuraFlowTransformer2DModel) or old)


def random_pipelines(folder: Path) -> dict[str, Any]:
    """Every family's bundled pipeline with random weights, by family, for what needs no training."""
    torch.manual_seed(0)
    autoencoder = tiny_vae.build().eval()
    made: dict[str, Any] = {}
    for name, family in {"flux": tiny_flux, "sd3": tiny_sd3, "auraflow": tiny_auraflow}.items():
        made[name] = family.build_pipeline(folder / name, autoencoder)
        perturbed(made[name].transformer)
    return made


def run(model: nn.Module, arguments: dict[str, Any]) -> torch.Tensor:
    """One forward."""
    with torch.no_grad():
        return model(**arguments)[0]


def blocks(model: nn.Module, stack: str) -> Any:
    """What stands in a stack's place: its list of blocks, or a view of it."""
    return blocks_at(model, find_stack(model, stack)[1])


def ablated(model: nn.Module, plans: Sequence[str], arguments: dict[str, Any]) -> torch.Tensor:
    """One forward under one plan a stack."""
    if not plans:
        with torch.inference_mode():
            return model(**arguments)[0]
    with ablate(model, plans[0]):
        return ablated(model, plans[1:], arguments)
