"""Pipelines without an adapter of their own: loaded as diffusers saves them, and run by their own methods."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

import diffusers
import pytest
import torch
from torch import nn

from harness.ablation.plan import Plan
from harness.analysis.velocity import plan_errors, single_skips
from harness.errors import CheckpointError, HarnessError, SurgeryError
from harness.models.checkpoints.resolve import resolve
from harness.models.families.general import General
from harness.models.families.registry import adapter
from harness.models.families.sd3 import Sd3
from harness.models.forward_output import output_of
from harness.models.loading import load
from harness.models.sampler import Sampler, generator_for
from harness.models.stacks import blocks_at, find_stack
from harness.surgery.block_contract import contract
from harness.surgery.trace import traced
from harness.surgery.verify import prove_identity, prove_listed
from harness.surgery.view import ablate
from harness.survey.reference import in_place
from tests.helpers import pipelines
from tests.helpers.models import perturbed
from tests.helpers.needs import needs

# Of different lengths, so that some pipelines pad the shorter ones.
PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross", "a red cross"]
STACKS = {
    "qwen-image": {"transformer_blocks": 4},
    "flux2": {"transformer_blocks": 2, "single_transformer_blocks": 3},
    "flux2-klein": {"transformer_blocks": 2, "single_transformer_blocks": 3},
    "z-image": {"noise_refiner": 2, "context_refiner": 2, "layers": 4},
    "pixart-sigma": {"transformer_blocks": 4},
    "sana": {"transformer_blocks": 4},
    "lumina2": {"context_refiner": 2, "noise_refiner": 2, "layers": 4},
    "chroma": {"transformer_blocks": 2, "single_transformer_blocks": 3},
    "sd3.5-medium": {"joint": 4},
}
# Arguments that come by index; of FLUX.2 they are the same for all blocks where there is no cache.
BY_BLOCK = {
    "chroma": ("temb",),
    "flux2": ("joint_attention_kwargs",),
    "flux2-klein": ("joint_attention_kwargs",),
}
# Why the velocities of plans can't be compared.
NO_LEVELS = {
    "z-image": "takes no hidden_states and no timestep",
    "pixart-sigma": r"by its scheduler DPMSolver\w+, and the timestep 999: neither sigma nor 1000 times it",
}
# Dear tests of what all pipelines share: in CI with an encoder whose mask may be None, with lists, and with a mask.
_DAILY = {"qwen-image", "z-image", "chroma"}
THREE_DAILY = pytest.mark.parametrize(
    "sampler",
    [each if each in _DAILY else pytest.param(each, marks=pytest.mark.nightly) for each in STACKS],
    indirect=True,
)
# With a negative prompt, which for FLUX.2-klein is always the empty one; FLUX.2-dev is told the number.
GUIDED = set(STACKS) - {"flux2"}
# Several images in one forward instead of one each, over the spread of the latents.
BATCH_TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=STACKS)
def sampler(request, tmp_path_factory):
    folder = pipelines.save(request.param, tmp_path_factory.mktemp("pipelines"))
    checkpoint = resolve(str(folder))
    assert checkpoint.stacks == STACKS[request.param]
    made = Sampler(load(checkpoint, torch.device("cpu")), checkpoint.family, checkpoint.settings, batch=3)
    made.pipeline.family_under_test = request.param
    return made


def name(sampler):
    return sampler.pipeline.family_under_test


def test_only_what_has_no_adapter_gets_the_general_one(sampler):
    assert type(sampler.adapter) is (Sd3 if name(sampler) == "sd3.5-medium" else General)
    assert sampler.family.general is (name(sampler) != "sd3.5-medium")
    assert type(sampler.pipeline) is getattr(diffusers, sampler.family.pipeline)


def test_images_are_the_same_bitwise_and_depend_on_prompt_and_seed(sampler):
    first, second = (sampler.sample(PROMPTS, seed=0) for _ in range(2))
    assert torch.equal(first.latents, second.latents)
    assert torch.equal(first.images, second.images)
    assert first.images.shape == (3, 3, sampler.settings.height, sampler.settings.width)
    assert first.latents.isfinite().all()
    assert not torch.equal(first.latents, sampler.sample(PROMPTS, seed=1).latents)
    swapped = sampler.sample([PROMPTS[1], PROMPTS[0], PROMPTS[2]], seed=0)
    assert not torch.equal(first.latents[0], swapped.latents[0])


def test_kept_embeddings_and_drawn_latents_are_what_the_pipeline_makes_of_plain_prompts(sampler):
    plain, kept = (make(PROMPTS, seed=0).latents for make in (sampler.sample_plainly, sampler.sample))
    assert (plain - kept).abs().max() < BATCH_TOLERANCE * kept.std()


@THREE_DAILY
def test_an_image_does_not_depend_on_its_neighbours(sampler):
    together = sampler.sample(PROMPTS, seed=0).latents
    alone = torch.cat([sampler.sample([prompt], seed=0).latents for prompt in PROMPTS])
    assert (together - alone).abs().max() < BATCH_TOLERANCE * together.std()


def test_negative_prompts_are_encoded_where_the_pipeline_is_guided_by_them(sampler):
    names = set(sampler.conditions(PROMPTS))
    assert ("negative_prompt_embeds" in names) is (name(sampler) in GUIDED)
    unguided = Sampler(sampler.pipeline, sampler.family, dataclasses.replace(sampler.settings, guidance=0.0), 3)
    assert unguided.conditions(PROMPTS).get("negative_prompt_embeds") is None


@THREE_DAILY
def test_guidance_and_the_negative_prompt_change_the_images(sampler):
    before = sampler.sample(PROMPTS, seed=0).latents
    changes = [{"guidance": 5.0}, {"negative_prompt": "a red cross"}]
    for change in changes if name(sampler) in GUIDED - {"flux2-klein"} else changes[:1]:
        other = Sampler(sampler.pipeline, sampler.family, dataclasses.replace(sampler.settings, **change), 3)
        assert not torch.equal(other.sample(PROMPTS, seed=0).latents, before), change


@THREE_DAILY
def test_embeddings_survive_being_stored(sampler):
    stored = {key: tensor.clone() for key, tensor in sampler.all_conditions(PROMPTS).items()}
    other = Sampler(sampler.pipeline, sampler.family, sampler.settings, batch=3)
    other.take_conditions(PROMPTS, stored)
    other.park_encoders()
    try:
        assert torch.equal(other.sample(PROMPTS, seed=0).latents, sampler.sample(PROMPTS, seed=0).latents)
    finally:
        other.fetch_encoders()


def test_every_callback_says_which_step_follows(sampler):
    steps = []
    sampler.sample(PROMPTS, seed=0, between=steps.append)
    assert steps == [0, 1, 2]


def test_the_identity_behind_slots_is_bitwise_the_model(sampler):
    for stack in STACKS[name(sampler)]:
        prove_identity(sampler.transformer, sampler.forward_arguments(PROMPTS), stack)


def test_skipping_a_block_is_a_model_without_it(sampler):
    transformer, arguments = sampler.transformer, sampler.forward_arguments(PROMPTS)
    with torch.inference_mode():
        whole = output_of(transformer, arguments)
        for stack, length in STACKS[name(sampler)].items():
            attribute = find_stack(transformer, stack).attribute
            assert contract(transformer, attribute).by_block == BY_BLOCK.get(name(sampler), ())
            for block in range(length):
                plan = Plan(tuple(i for i in range(length) if i != block))
                with ablate(transformer, plan, stack):
                    output = output_of(transformer, arguments)
                assert not torch.equal(output, whole)
                if name(sampler) in BY_BLOCK:
                    assert torch.equal(output, _output_without(transformer, attribute, block, arguments))
                else:
                    assert prove_listed(transformer, arguments, plan, stack, output)


def _output_without(transformer, attribute, block, arguments):
    """The output of a model whose list lacks a block; Chroma's network for modulation then lacks the block's rows."""
    blocks = blocks_at(transformer, attribute)
    with ExitStack() as undo:
        if isinstance(transformer, diffusers.ChromaTransformer2DModel):
            gone = _rows_of_chroma(transformer, attribute, block)
            handle = transformer.distilled_guidance_layer.register_forward_hook(
                lambda _module, _args, rows: rows[:, [i for i in range(rows.shape[1]) if i not in gone]]
            )
            undo.callback(handle.remove)
        undo.enter_context(in_place(transformer, attribute, [b for i, b in enumerate(blocks) if i != block]))
        return output_of(transformer, arguments)


def _rows_of_chroma(transformer, attribute, block):
    """A block's rows of modulation: those of all single blocks come first, the double blocks' of image, of text."""
    if attribute == "single_transformer_blocks":
        return range(3 * block, 3 * block + 3)
    image = 3 * len(transformer.single_transformer_blocks) + 6 * block
    text = image + 6 * len(transformer.transformer_blocks)
    return [*range(image, image + 6), *range(text, text + 6)]


def test_plans_are_compared_by_velocity_where_the_noise_levels_are_known(sampler):
    """As `harness screen` does it; that the first of them is bitwise what a plan alone gives is checked in it."""
    plans = single_skips(STACKS[name(sampler)])
    if name(sampler) in NO_LEVELS:
        with pytest.raises(HarnessError, match=NO_LEVELS[name(sampler)]):
            plan_errors(sampler, PROMPTS[:1], plans, steps=[0])
        return
    errors = plan_errors(sampler, PROMPTS[:1], plans, steps=[0]).error
    assert errors.shape == (len(plans), 1, 1)
    assert (errors > 0).all()


def test_latents_are_the_pipelines_own_draw_of_one_generator(sampler):
    """Of a pipeline that packs after the draw, the tensor before; either way the one that the call takes."""
    drawn = sampler.noise(PROMPTS[:1], seed=3)
    own = torch.randn(drawn.shape, generator=generator_for(PROMPTS[0], 3))
    assert torch.equal(drawn.flatten().sort().values, own.flatten().sort().values)


def test_what_only_an_adapter_can_know_is_refused_with_the_reason(sampler):
    if type(sampler.adapter) is not General:
        pytest.skip("it has an adapter")
    own = sampler.adapter
    for call in (
        lambda: own.text_tokens({}, 3, nn.Identity()),
        lambda: own.patches({}),
        lambda: own.latents_from_pixels(sampler.pipeline, torch.zeros(1, 3, 8, 8)),
        lambda: own.random_inputs({}, sampler.settings, (1, 1), None),
    ):
        with pytest.raises(CheckpointError, match=r"has no adapter of its own .* so it isn't known "):
            call()


def test_an_embedding_that_cannot_be_padded_keeps_its_prompt_in_a_batch_of_its_own(sampler):
    """CogView4's call takes embeddings without a mask: only prompts of one length share a forward."""
    own = adapter(sampler.family)
    if type(own) is not General:
        pytest.skip("it has an adapter")
    own._source = dataclasses.replace(own._source, parameters={"prompt_embeds": None}, listed=frozenset())
    short, long = ({"prompt_embeds": torch.ones(1, length, 2)} for length in (2, 3))
    assert own.together([short, short])
    assert not own.together([short, long])
    sampler.adapter, before = own, sampler.adapter
    own._asked, own._taken = before._asked, before._taken
    kept, sampler._conditions = sampler._conditions, {"a": short, "b": short, "c": long, "d": short}
    try:
        assert list(sampler._batches(["a", "b", "c", "d"])) == [["a", "b"], ["c"], ["d"]]
    finally:
        sampler.adapter, sampler._conditions = before, kept


@needs("diffusers.QwenImageImg2ImgPipeline")
def test_ablate_works_on_an_image_to_image_pipeline_whose_cases_are_refused(tmp_path):
    pipeline = diffusers.QwenImageImg2ImgPipeline(**pipelines.qwen_image(tmp_path).components)
    perturbed(pipeline.transformer)
    pipeline.save_pretrained(tmp_path / "again")
    with pytest.raises(CheckpointError, match=r"makes images from images \(strength\), and cases have prompts alone"):
        resolve(str(tmp_path / "again"))

    def image():
        start = torch.full((1, 3, pipelines.SIDE, pipelines.SIDE), 0.5)
        call = {"strength": 1.0, "num_inference_steps": 2, "generator": torch.Generator().manual_seed(0)}
        size = {"height": pipelines.SIDE, "width": pipelines.SIDE}
        return pipeline(image=start, prompt=PROMPTS[0], output_type="pt", **call, **size).images

    plain = image()
    with ablate(pipeline, "transformer_blocks: 0 2 3"):
        skipped = image()
    assert plain.shape == skipped.shape == (1, 3, pipelines.SIDE, pipelines.SIDE)
    assert not torch.equal(plain, skipped)
    assert torch.equal(plain, image())


@needs("diffusers.WanPipeline.__init__", "transformer_2")
def test_of_two_transformers_each_has_its_own_plans_and_cases_are_refused(tmp_path):
    """Wan 2.2: the first transformer in the noisier steps, the second one in the rest."""
    pipeline = pipelines.wan22(tmp_path)
    both = (pipeline.transformer, pipeline.transformer_2)
    for seed, transformer in enumerate(both):
        perturbed(transformer, seed)
    pipeline.save_pretrained(tmp_path / "wan")
    with pytest.raises(CheckpointError, match=r"take two transformers.* ablate\(pipeline\.transformer_2, plan"):
        resolve(str(tmp_path / "wan"))
    with pytest.raises(SurgeryError, match=r"two transformers.*; pass pipeline\.transformer or "):
        ablate(pipeline, "0 2-3").__enter__()

    def video():
        call = {"num_inference_steps": 2, "num_frames": 1, "height": 16, "width": 16, "guidance_scale": 1.0}
        generator = torch.Generator().manual_seed(0)
        return pipeline(PROMPTS[0], generator=generator, output_type="latent", **call).frames

    plain = video()
    assert torch.equal(video(), plain)
    for ablated in both:
        with traced(both[0]) as first, traced(both[1]) as second, ablate(ablated, "0 2-3"):
            skipped = video()
        assert first == ([0, 2, 3] if ablated is both[0] else [0, 1, 2, 3])
        assert second == ([0, 2, 3] if ablated is both[1] else [0, 1, 2, 3])
        assert not torch.equal(skipped, plain)
    assert torch.equal(video(), plain)
