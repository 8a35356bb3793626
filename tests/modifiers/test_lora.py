"""A LoRA out of a range is bitwise the model with a LoRA that never was there; scaled ones lie between."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CaseError
from harness.models import loading
from harness.models.checkpoints.resolve import resolve
from harness.models.sampler import Sampler
from tests.helpers.loras import weights
from tests.helpers.needs import needs
from tests.helpers.samplers import PROMPTS, latents

CPU = torch.device("cpu")
PLACES = {
    "flux-tiny": ("single-L02-07", "single_transformer_blocks", range(2, 8), "single-L09"),
    "sd3-tiny": ("joint-L02-05", "transformer_blocks", range(2, 6), "joint-L09"),
    "auraflow-tiny": ("single-L01-02", "single_transformer_blocks", (1, 2), "single-L09"),
}


def sampler_of(name, lora=None):
    checkpoint = resolve(name, lora=None if lora is None else str(lora))
    pipeline = loading.load(checkpoint, CPU)
    return Sampler(pipeline, checkpoint.family, checkpoint.settings, 2)


def files(name, folder, kind):
    """A LoRA of the range's blocks and of block 0, and the same without the range."""
    transformer = loading.load(resolve(name), CPU).transformer
    _, attribute, blocks, _ = PLACES[name]
    kept = tuple(f"{attribute}.{i}." for i in (0, *blocks))
    every = {
        k: v for k, v in weights(transformer, ("to_q",)).items() if k.removeprefix("transformer.").startswith(kept)
    }
    if kind == "lokr":
        every = {
            f"transformer.{key}.{part}": value
            for key, module in transformer.named_modules()
            if key.startswith(kept) and key.endswith("to_q")
            for part, value in (
                ("lokr_w1", torch.full((2, 2), 0.2)),
                ("lokr_w2", torch.ones(module.out_features // 2, module.in_features // 2) * 0.2),
            )
        }
    first = {key: value for key, value in every.items() if f"{attribute}.0." in key}
    for path, content in ((folder / "all.safetensors", every), (folder / "first.safetensors", first)):
        save_file({key: value.clone() for key, value in content.items()}, str(path))
    return folder / "all.safetensors", folder / "first.safetensors"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flux-tiny", "lora"),
        ("flux-tiny", "lokr"),
        ("sd3-tiny", "lokr"),
        pytest.param("auraflow-tiny", "lokr", marks=needs("diffusers.AuraFlowPipeline.load_lora_weights")),
    ],
)
def test_out_of_a_range_it_is_as_if_it_had_never_been_there(tmp_path, name, kind):
    whole, without = files(name, tmp_path, kind)
    place, *_, elsewhere = PLACES[name]
    sampler = sampler_of(name, whole)
    control = sampler.sample(PROMPTS, 0).latents
    off, _ = latents(sampler, f"{place}-lora-off")
    expected = sampler_of(name, without).sample(PROMPTS, 0).latents
    assert torch.allclose(off, expected, atol=0 if kind == "lokr" else 1e-5)
    assert not torch.equal(off, control)
    half, _ = latents(sampler, f"{place}-lora-scale.50")
    assert 0 < (half - control).norm() < (off - control).norm()
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)
    with pytest.raises(CaseError, match="the LoRA touches no block of this range"):
        latents(sampler, f"{elsewhere}-lora-off")


def test_without_a_lora_it_is_refused():
    with pytest.raises(CaseError, match=r"there is no LoRA on the model \(--dit-lora\)"):
        latents(sampler_of("flux-tiny"), "single-L02-lora-off")
