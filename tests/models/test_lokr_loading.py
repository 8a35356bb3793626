"""LoKr files: what LyCORIS adds to a weight, by hand, and files that were not made for the model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CheckpointError
from harness.models import loading, lokr_loading, lora_loading
from harness.models.checkpoints.resolve import resolve

CPU = torch.device("cpu")
LAYER = "single_transformer_blocks.2.attn.to_q"


@pytest.fixture
def pipeline():
    return loading.load(resolve("flux-tiny"), CPU)


def shape(pipeline, layer=LAYER):
    return pipeline.transformer.get_submodule(layer).weight.shape


def draw(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def parts(rows, columns, kind, alpha=2.0):
    """Weights of one layer in the forms that LyCORIS writes, and the update that they stand for."""
    a, b = rows // 4, columns // 2
    w1, w2 = draw(4, 2), draw(a, b, seed=1)
    if kind == "whole":
        return {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(alpha)}, torch.kron(w1, w2)
    down, up = draw(a, 8, seed=2), draw(8, b, seed=3)
    second = {"lokr_w2_a": down, "lokr_w2_b": up, "alpha": torch.tensor(alpha)}
    if kind == "second":
        return {"lokr_w1": w1, **second}, alpha / 8 * torch.kron(w1, down @ up)
    first = {"lokr_w1_a": draw(4, 8, seed=4), "lokr_w1_b": draw(8, 2, seed=5)}
    return {**first, **second}, alpha / 8 * torch.kron(first["lokr_w1_a"] @ first["lokr_w1_b"], down @ up)


@pytest.mark.parametrize("kind", ["whole", "second", "both"])
@pytest.mark.parametrize("prefix", ["lycoris_", "transformer.", ""])
def test_the_update_is_scale_times_the_kronecker_product(pipeline, tmp_path, kind, prefix):
    weights, update = parts(*shape(pipeline), kind)
    name = prefix + (LAYER.replace(".", "_") if prefix == "lycoris_" else LAYER)
    file = tmp_path / "lokr.safetensors"
    save_file({f"{name}.{key}": value for key, value in weights.items()}, str(file))
    before = pipeline.transformer.get_submodule(LAYER).weight.data.clone()
    lora_loading.put_on(pipeline, file, "flux-tiny")
    after = pipeline.transformer.get_submodule(LAYER).weight.data
    assert torch.allclose(after, before + update, atol=1e-5)
    (layer,) = lokr_loading.lokr_layers(pipeline.transformer).values()
    assert torch.equal(layer.merged(1.0), after)
    assert torch.equal(layer.merged(0.0), before)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            ("lycoris_other_block.lokr_w1", "lycoris_other_block.lokr_w2"),
            "1 of 1 layers fit nothing in it, as 'lycor",
        ),
        ((f"{LAYER}.lokr_w1", f"{LAYER}.lokr_w2"), "1 of 1 layers fit nothing"),  # of another size
        ((f"{LAYER}.lokr_w1",), f"layer '{LAYER}' lacks lokr_w2"),
        ((f"{LAYER}.lokr_w1", f"{LAYER}.dora_scale"), "'single_transformer_blocks.2.attn.to_q.dora_scale' is none of"),
    ],
)
def test_a_file_for_another_model_is_named(pipeline, tmp_path, keys, message):
    file = tmp_path / "lokr.safetensors"
    save_file({key: draw(2, 2) for key in keys}, str(file))
    before = {key: value.clone() for key, value in pipeline.transformer.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        lora_loading.put_on(pipeline, file, "flux-tiny")
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in pipeline.transformer.state_dict().items())
