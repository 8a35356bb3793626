"""Reduced sizes have the blocks of the real models."""

from __future__ import annotations

import dataclasses

import pytest

from harness.errors import CheckpointError
from harness.models.checkpoints.published import PUBLISHED
from harness.models.random_weights import checkpoint as randomised
from harness.models.random_weights.weights import outline
from harness.models.spec import FLUX


@pytest.mark.parametrize("name", [name for name, known in PUBLISHED.items() if not known.family.general])
def test_the_reduced_size_has_the_blocks_of_the_real_model(name):
    small, full = (randomised.resolve(name, kind) for kind in ("random:small", "random"))
    assert small.stacks == full.stacks == PUBLISHED[name].stacks
    assert (small.name, full.name) == (f"{name}-random-small", f"{name}-random")
    assert dict(full.config) == dict(PUBLISHED[name].config)
    kept = ("patch_size", "in_channels", "guidance_embeds", "dual_attention_layers", "qk_norm")
    assert {k: small.config.get(k) for k in kept} == {k: full.config.get(k) for k in kept}
    # The table of positions, a quarter of a billion numbers in one case, is computed; the weights need no memory.
    positions = {"pos_embed_max_size": 16} if "pos_embed_max_size" in full.config else {}
    real, made = (outline(dataclasses.replace(c, config={**c.config, **positions})) for c in (full, small))
    for stack in full.family.stacks:
        pairs = list(zip(getattr(real, stack.attribute), getattr(made, stack.attribute), strict=True))
        assert len(pairs) == full.stacks[stack.name]
        for a, b in pairs:
            assert [n for n, _ in a.named_modules()] == [n for n, _ in b.named_modules()]
            assert getattr(a, "context_pre_only", None) == getattr(b, "context_pre_only", None)
    assert sum(p.numel() for p in made.parameters()) < 1e7
    assert sum(p.numel() for p in real.parameters()) > 1e9


@pytest.mark.parametrize("kind", ["random", "random:small"])
def test_a_pipeline_without_an_adapter_has_no_random_inputs(kind):
    with pytest.raises(
        CheckpointError, match=r"'z-image-turbo': .* what ZImagePipeline passes isn't known; save a small"
    ):
        randomised.resolve("z-image-turbo", kind)


def test_reducing_makes_nothing_larger_and_keeps_rotary_axes_even():
    tiny = randomised.resolve("flux-tiny", "random").config
    small = randomised.reduced(tiny, FLUX.width_keys)
    assert all(small[k] <= v for k, v in tiny.items() if isinstance(v, int) and not isinstance(v, bool))
    for axes, whole in (((16, 56, 56), 128), ((2, 2, 60), 64), (tiny["axes_dims_rope"], tiny["attention_head_dim"])):
        config = randomised.reduced({**tiny, "axes_dims_rope": axes, "attention_head_dim": whole}, FLUX.width_keys)
        assert sum(config["axes_dims_rope"]) == config["attention_head_dim"]
        assert all(axis > 0 and axis % 2 == 0 for axis in config["axes_dims_rope"])
    with pytest.raises(CheckpointError, match="gives no num_attention_heads and attention_head_dim; save"):
        randomised.reduced({"num_layers": 3}, FLUX.width_keys, "x")
