"""Data that comes by index: what belongs to the block travels with it, what belongs to the position stays."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.plan import Plan, identity
from harness.errors import SurgeryError
from harness.surgery.view import ablate
from harness.survey.reference import in_place, same
from harness.survey.survey import output, survey_transformer
from tests.helpers.models import perturbed
from tests.helpers.needs import require
from tests.helpers.small_models import small


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def z_image():
    """An ordinary forward, without condition images, and residuals by the key of a block."""
    transformer, _ = small("ZImageTransformer2DModel")
    arguments = {
        "x": [random(4, 1, 4, 4)],
        "t": torch.tensor([0.3]),
        "cap_feats": [random(6, 32)],
        "return_dict": False,
    }
    with pytest.MonkeyPatch.context() as patch:
        shapes = []
        call = type(transformer.layers[0]).forward
        patch.setattr(
            type(transformer.layers[0]), "forward", lambda s, x, *a, **k: shapes.append(x) or call(s, x, *a, **k)
        )
        output(transformer, arguments)
    return (
        transformer,
        arguments,
        {"controlnet_block_samples": {i: random(*shapes[-1].shape) for i in (0, 2)}},
        "layers",
    )


def with_residuals(name, residuals, stack="transformer_blocks"):
    def build():
        transformer, arguments = small(name)
        for argument in residuals:
            require(f"diffusers.{name}.forward", argument)
        return transformer, arguments, residuals, stack

    return build


def cosmos():
    """Residuals are handed to the block at every second position, which adds them."""
    transformer, arguments = small("CosmosTransformer3DModel")
    transformer.register_to_config(controlnet_block_every_n=2)
    width = transformer.proj_out.in_features
    residuals = [random(1, 1, width), random(1, 1, width) - 1]
    return transformer, arguments, {"block_controlnet_hidden_states": residuals}, "transformer_blocks"


RESIDUALS = {
    "FLUX double": with_residuals("FluxTransformer2DModel", {"controlnet_block_samples": [random(2, 16, 32)] * 2}),
    "FLUX single": with_residuals(
        "FluxTransformer2DModel",
        {"controlnet_single_block_samples": [random(2, 16, 32)] * 2},
        "single_transformer_blocks",
    ),
    "SD3": with_residuals("SD3Transformer2DModel", {"block_controlnet_hidden_states": [random(2, 4, 32)] * 2}),
    "Qwen-Image": with_residuals("QwenImageTransformer2DModel", {"controlnet_block_samples": [random(2, 16, 32)] * 2}),
    "Sana": with_residuals("SanaTransformer2DModel", {"controlnet_block_samples": (random(2, 16, 32),) * 2}),
    "Z-Image": z_image,
    "Cosmos": cosmos,
}


@pytest.mark.parametrize("build", RESIDUALS.values(), ids=RESIDUALS)
def test_residuals_of_a_controlnet_stay_at_their_position(build):
    """The references of the survey keep all positions, so its checks say where the residuals are."""
    transformer, arguments, residuals, attribute = build()
    without = output(transformer, arguments)
    found = survey_transformer(transformer, {**arguments, **residuals})
    (stack,) = [stack for stack in found.stacks if stack.name == attribute]
    assert {"identity", "skip", "reverse", "parallel", "restored"} <= set(stack.exact), stack.failed
    assert not same(output(transformer, {**arguments, **residuals}), without)


def test_chroma_with_a_controlnet_leaves_blocks_out_and_moves_none():
    transformer, arguments = small("ChromaTransformer2DModel")
    for name, stack in (
        ("controlnet_block_samples", "transformer_blocks"),
        ("controlnet_single_block_samples", "single_transformer_blocks"),  # added in place
    ):
        guided = {**arguments, name: [random(2, 16, 32)] * 2}
        with ablate(transformer, "0 2-3", stack):
            assert not same(output(transformer, guided), output(transformer, arguments))
        with (
            ablate(transformer, "0 2 1 3", stack),
            pytest.raises(SurgeryError, match="the model changes hidden_states"),
        ):
            output(transformer, guided)


@pytest.mark.parametrize("left_out", range(4))
def test_chroma_without_a_block_is_a_model_without_its_modulation(left_out):
    """By hand: the rows that the approximator gives for a block are taken out with the block."""
    transformer, arguments = small("ChromaTransformer2DModel")
    with ablate(transformer, Plan(tuple(i for i in range(4) if i != left_out)), "single_transformer_blocks"):
        skipped = output(transformer, arguments)
    approximator, blocks = transformer.distilled_guidance_layer, transformer.single_transformer_blocks

    def fewer(_module, _args, rows):
        return torch.cat([rows[:, : 3 * left_out], rows[:, 3 * left_out + 3 :]], dim=1)

    handle = approximator.register_forward_hook(fewer)
    with in_place(transformer, "single_transformer_blocks", [b for i, b in enumerate(blocks) if i != left_out]):
        shorter = output(transformer, arguments)
    handle.remove()
    assert same(skipped, shorter)


def with_caching_attention(transformer):
    """FLUX.2's caches are read by processors of their own, which its pipeline sets."""
    from diffusers.models.transformers import transformer_flux2

    for block in transformer.transformer_blocks:
        block.attn.set_processor(transformer_flux2.Flux2KVAttnProcessor())
    for block in transformer.single_transformer_blocks:
        block.attn.set_processor(transformer_flux2.Flux2KVParallelSelfAttnProcessor())


def qwen21(arguments):
    from diffusers.models.transformers.transformer_qwenimage21 import QwenImage21KVCache

    cache = QwenImage21KVCache(4)
    first, second = ({**arguments, "kv_cache": cache, "kv_cache_mode": mode} for mode in ("extract", "cached"))
    return first, lambda _: second, cache.layer_caches.reverse


def glm(arguments):
    from diffusers.models.transformers.transformer_glm_image import GlmImageKVCache

    cache = GlmImageKVCache(4)
    cache.set_mode("write")

    def second(_):
        cache.set_mode("read")
        return {**arguments, "kv_caches": cache}

    return {**arguments, "kv_caches": cache}, second, cache.caches.reverse


def flux2(arguments):
    """The model makes the cache itself, and returns it."""
    tokens, ids = arguments["hidden_states"], arguments["img_ids"]
    first = {
        "hidden_states": torch.cat([random(2, 4, 4), tokens], 1),
        "img_ids": torch.cat([torch.ones(4, 4), ids]),
        "num_ref_tokens": 4,
        "kv_cache_mode": "extract",
    }
    layers = []

    def second(result):
        layers.append(result[1].double_block_caches)
        return {**arguments, "kv_cache_mode": "cached", "kv_cache": result[1]}

    def reverse_caches():
        layers[0].reverse()

    return {**arguments, **first}, second, reverse_caches


def sana_refiner(arguments):
    """Keys and values that a first forward leaves behind, read by the second one."""
    from diffusers.models.transformers.transformer_sana_wm_refiner import SanaWMRefinerKVCache

    cache = SanaWMRefinerKVCache(4)

    def second(_):
        for layer in cache.layer_caches:
            layer.store_sink(*layer.get_captured_pre_rope())
        cache.sink_pe = arguments["video_rotary_emb"]
        return {**arguments, "kv_cache": cache, "kv_cache_mode": "inject"}

    return {**arguments, "kv_cache": cache, "kv_cache_mode": "capture_pre_rope"}, second, cache.layer_caches.reverse


CACHED = {
    "SanaWMLTX2RefinerTransformer3DModel": sana_refiner,
    "QwenImage21Transformer2DModel": qwen21,
    "GlmImageTransformer2DModel": glm,
    "Flux2Transformer2DModel": flux2,
}


@pytest.mark.parametrize("name", CACHED)
def test_a_cache_by_index_travels_with_its_block(name):
    """Filled by the model as it is, read by blocks in the opposite order, each from its own."""
    transformer, arguments = small(name)
    if name.startswith("Flux2"):
        with_caching_attention(transformer)
    blocks = list(transformer.transformer_blocks)

    first, second, _ = CACHED[name](arguments)
    reading = second(output(transformer, first))
    whole = output(transformer, reading)[0]
    with ablate(transformer, identity(4), "transformer_blocks", force_slots=True):
        assert same(output(transformer, reading)[0], whole)
    with ablate(transformer, "3-0", "transformer_blocks"):
        moved = output(transformer, reading)[0]

    first, second, reverse_caches = CACHED[name](arguments)
    reading = second(output(transformer, first))
    with in_place(transformer, "transformer_blocks", blocks[::-1]):
        mixed_up = output(transformer, reading)[0]
        reverse_caches()
        by_hand = output(transformer, reading)[0]
    assert same(moved, by_hand)
    assert not same(moved, whole)
    assert not same(moved, mixed_up)


def test_a_block_that_ltx2_perturbs_is_perturbed_wherever_it_runs():
    plain, arguments = small("LTX2VideoTransformer3DModel")
    transformer = perturbed(type(plain).from_config(plain.config, perturbed_attn=True))

    def guided(*blocks):
        return output(transformer, {**arguments, "spatio_temporal_guidance_blocks": list(blocks)})

    with ablate(transformer, "3-0"):
        moved, without = guided(1), guided()
    with in_place(transformer, "transformer_blocks", list(transformer.transformer_blocks)[::-1]):
        by_hand, mixed_up = guided(2), guided(1)
    assert same(moved, by_hand)
    assert not same(moved, without)
    assert not same(moved, mixed_up)


def test_a_block_with_a_cache_runs_once():
    transformer, arguments = small("QwenImage21Transformer2DModel")
    with (
        ablate(transformer, "0 1 1 2-3"),
        pytest.raises(SurgeryError, match=r"block 1 runs more than once, .*layer_cache"),
    ):
        output(transformer, qwen21(arguments)[0])
    with ablate(transformer, "0 1 1 2-3"):
        output(transformer, arguments)  # without a cache it may


@pytest.mark.parametrize("plan", ["0 2 1 3", "0 1 1 2 3", "(0|1) 2-3", "0-2 (3)x2"])
@pytest.mark.parametrize("name", ["HiDreamImageTransformer2DModel", "BriaFiboTransformer2DModel", "HunyuanDiT2DModel"])
def test_where_blocks_stay_at_their_position(name, plan):
    transformer, arguments = small(name)
    stack = {"H": "double_stream_blocks", "B": "transformer_blocks"}[name[0]] if name[1] != "u" else "blocks"
    with pytest.raises(SurgeryError, match="runs a block more than once or at another position than its own"):
        ablate(transformer, plan, stack).__enter__()
    with ablate(transformer, "0 2*0.5 3", stack):
        assert not same(output(transformer, arguments), None)
