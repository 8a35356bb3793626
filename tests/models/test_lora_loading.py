"""A LoRA on top of a checkpoint: found, refused where it isn't one, put on whole, and never taken for the base."""

from __future__ import annotations

import sys
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import AuraFlowPipeline, DiTPipeline
from safetensors.torch import save_file

from harness.ablation.plan import parse
from harness.errors import CheckpointError
from harness.lab.lab import Lab
from harness.models import loading, lora_loading
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import ablate
from tests.helpers import models
from tests.helpers.loras import CPU, message, rewritten, weights
from tests.helpers.needs import require

pytest.importorskip("peft")


def test_it_is_in_the_fingerprint(file):
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:2]
    base, other = (Lab(resolve("flux-tiny", lora=name), prompts=prompts).fingerprint for name in (None, str(file)))
    assert base.weights != other.weights
    assert "peft" not in base.versions
    assert "peft" in other.versions


def test_all_of_it_is_put_on_and_a_plan_runs_through_it(file, made):
    """The pipeline with a LoRA is the one with the update added to its weights, ablated or not."""
    checkpoint = resolve("flux-tiny", lora=str(file))
    adapted, merged = loading.load(checkpoint, CPU).transformer, loading.load(resolve("flux-tiny"), CPU).transformer
    plain = loading.load(resolve("flux-tiny"), CPU).transformer
    assert not any(p.requires_grad for p in adapted.parameters())
    with torch.no_grad():
        for key in (k for k in made if ".lora_A." in k):
            layer = merged.get_submodule(key.removeprefix("transformer.").partition(".lora_")[0])
            layer.weight += made[key.replace("lora_A", "lora_B")] @ made[key]
    arguments = forward(plain)
    for plan, stack in (("0-4", "double"), ("0 (2|3)x2 4", "double"), ("0-2 7 6-9", "single")):
        outputs = []
        for model in (adapted, merged, plain):
            with torch.inference_mode(), ablate(model, plan, stack), traced(model, stack) as ran:
                outputs.append(model(**arguments)[0])
            check_trace(ran, parse(plan), stack)
        assert torch.allclose(outputs[0], outputs[1], atol=1e-4)
        assert not torch.allclose(outputs[0], outputs[2], atol=1e-2)


def forward(model):
    generator = torch.Generator().manual_seed(0)
    config = model.config
    return {
        "hidden_states": torch.randn(1, 9, config.in_channels, generator=generator),
        "encoder_hidden_states": torch.randn(1, 5, config.joint_attention_dim, generator=generator),
        "pooled_projections": torch.randn(1, config.pooled_projection_dim, generator=generator),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.cat([torch.zeros(9, 1), torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0))], dim=1),
        "txt_ids": torch.zeros(5, 3),
        "return_dict": False,
    }


def test_a_text_encoders_part_is_put_on_too(file, made):
    encoder = loading.load(resolve("flux-tiny"), CPU).text_encoder
    more = weights(encoder, ("q_proj",), prefix="text_encoder")
    assert more
    rewritten(file, made, lambda all_: all_ | more)
    pipeline = loading.load(resolve("flux-tiny", lora=str(file)), CPU)
    names = [name for name, _ in pipeline.text_encoder.named_parameters() if ".lora_" in name]
    assert len(names) == len(more)


def old_names(all_):
    return {k.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): v for k, v in all_.items()}


def test_names_from_before_peft_are_understood(file, made):
    rewritten(file, made, old_names)
    pipeline = loading.load(resolve("flux-tiny", lora=str(file)), CPU)
    assert len([n for n, _ in pipeline.transformer.named_parameters() if ".lora_" in n]) == len(made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda all_: {k.replace("transformer_blocks", "layers"): v for k, v in all_.items()},
            "60 of 60 weights fit nothing in it, as 'transformer.layers.0.attn.to_q.lora_A.weight'; name another",
        ),
        (
            lambda all_: {k.replace("transformer.", "unet.", 1): v for k, v in all_.items()},
            "60 of 60 weights fit nothing in it, as 'unet.single_transformer_blocks.0.attn.to_q.lora_A.weight'; ",
        ),
        (
            lambda all_: {k.replace("transformer.transformer_blocks.4.", "transformer.transformer_blocks.5."): v
                          for k, v in all_.items()},
            "4 of 60 weights fit nothing in it, as 'transformer.transformer_blocks.5.attn.to_q.lora_A.weight'; ",
        ),
        (
            lambda all_: {k: torch.cat([v, v], dim=1) if "lora_A" in k else v for k, v in all_.items()},
            "30 of 60 weights fit nothing in it, as 'transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight'",
        ),
        (lambda _: {"weight": torch.zeros(2, 2)}, "it holds no LoRA weights; name another"),
    ],
    ids=["names", "model", "deeper", "wider", "none"],
)  # fmt: skip
def test_one_for_another_model_is_refused(file, made, change, said):
    """diffusers warns, loads what fits, or widens the model until it does."""
    rewritten(file, made, change)
    assert message(str(file)).startswith(f"LoRA {file} was not made for 'flux-tiny': {said}")


def test_without_peft_the_command_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert message(str(file)) == (
        "--dit-lora needs the package peft, which is not installed; run: pip install 'dit-ablation-harness[lora]'"
    )


def test_a_pipeline_that_takes_none_is_named():
    with pytest.raises(CheckpointError) as caught:
        lora_loading.check_support(DiTPipeline, "dit-xl")
    assert str(caught.value) == (
        f"checkpoint 'dit-xl': DiTPipeline of diffusers {diffusers.__version__} takes no LoRA; leave out --dit-lora, "
        "or upgrade diffusers"
    )


def test_the_release_is_named_that_takes_one_for_auraflow(monkeypatch):
    for base in AuraFlowPipeline.__mro__:
        if "load_lora_weights" in vars(base):
            monkeypatch.delattr(base, "load_lora_weights")  # as in diffusers 0.33.1
    with pytest.raises(CheckpointError, match=r"takes no LoRA; .* diffusers to 0\.34$"):
        lora_loading.check_support(AuraFlowPipeline, "auraflow-tiny")


@pytest.mark.parametrize(("family", "kind"), [("sd3", "StableDiffusion3Pipeline"), ("auraflow", "AuraFlowPipeline")])
def test_the_other_families_take_one(family, kind, tmp_path):
    """Their own loaders, on small random models; the other components have no part in it."""
    pipeline_class = getattr(diffusers, kind)
    require(f"diffusers.{kind}.load_lora_weights")
    transformer, arguments = models.FAMILIES[family]()
    absent = dict.fromkeys(set(pipeline_class._get_signature_keys(pipeline_class)[0]) - {"transformer"})
    pipeline = pipeline_class(transformer=transformer, **absent)
    with torch.inference_mode():
        before = transformer(**arguments)[0]
    save_file(weights(transformer, ("to_q",)), str(tmp_path / "style.safetensors"))
    lora_loading.put_on(pipeline, Path(tmp_path / "style.safetensors"), family)
    with torch.inference_mode():
        after = transformer(**arguments)[0]
    assert not torch.allclose(before, after, atol=1e-3)
    save_file({"transformer.nothing.lora_A.weight": torch.zeros(2, 2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointError, match=f"was not made for '{family}': 1 of 1 weights fit nothing in it"):
        lora_loading.put_on(pipeline, Path(tmp_path / "other.safetensors"), family)
