"""Pipelines without an adapter of their own: loaded as diffusers saves them, and run by their own methods."""

from __future__ import annotations

import dataclasses

import diffusers
import pytest
import torch
from torch import nn

from harness.ablation.plan import parse
from harness.errors import CheckpointError, SurgeryError
from harness.models.checkpoints.resolve import resolve
from harness.models.families.general import General
from harness.models.families.registry import adapter
from harness.models.families.sd3 import Sd3
from harness.models.loading import load
from harness.models.sampler import Sampler, generator_for
from harness.surgery.block_contract import contract
from harness.surgery.verify import prove_identity, prove_listed
from harness.surgery.view import ablate
from tests.helpers import pipelines
from tests.helpers.models import perturbed

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


def readable(sampler):
    """The stacks whose blocks can be rearranged; of the others it is said why not."""
    reasons = {stack: _refusal(sampler, stack) for stack in STACKS[name(sampler)]}
    said = ("", "depend on their position", "ways of calling a block")
    assert all(any(part in reason if part else not reason for part in said) for reason in reasons.values())
    return [stack for stack, reason in reasons.items() if not reason]


def _refusal(sampler, stack):
    try:
        contract(sampler.transformer, "transformer_blocks" if stack == "joint" else stack)
    except SurgeryError as error:
        return str(error)
    return ""


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


def test_an_image_does_not_depend_on_its_neighbours(sampler):
    together = sampler.sample(PROMPTS, seed=0).latents
    alone = torch.cat([sampler.sample([prompt], seed=0).latents for prompt in PROMPTS])
    assert (together - alone).abs().max() < BATCH_TOLERANCE * together.std()


def test_negative_prompts_are_encoded_where_the_pipeline_is_guided_by_them(sampler):
    names = set(sampler.conditions(PROMPTS))
    assert ("negative_prompt_embeds" in names) is (name(sampler) in GUIDED)
    unguided = Sampler(sampler.pipeline, sampler.family, dataclasses.replace(sampler.settings, guidance=0.0), 3)
    assert unguided.conditions(PROMPTS).get("negative_prompt_embeds") is None


def test_guidance_and_the_negative_prompt_change_the_images(sampler):
    before = sampler.sample(PROMPTS, seed=0).latents
    changes = [{"guidance": 5.0}, {"negative_prompt": "a red cross"}]
    for change in changes if name(sampler) in GUIDED - {"flux2-klein"} else changes[:1]:
        other = Sampler(sampler.pipeline, sampler.family, dataclasses.replace(sampler.settings, **change), 3)
        assert not torch.equal(other.sample(PROMPTS, seed=0).latents, before), change


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
    for stack in readable(sampler):
        prove_identity(sampler.transformer, sampler.forward_arguments(PROMPTS), stack)


def test_skipping_a_block_is_a_model_without_it(sampler):
    for stack in readable(sampler):
        arguments = sampler.forward_arguments(PROMPTS)
        blocks = range(STACKS[name(sampler)][stack])
        for block in blocks:
            plan = parse(" ".join(str(other) for other in blocks if other != block))
            with torch.inference_mode(), ablate(sampler.transformer, plan, stack):
                output = sampler.transformer(**arguments)[0]
            output = torch.stack(output) if isinstance(output, list) else output
            if name(sampler) == "chroma":  # its modulation goes by index, which a shorter list would shift
                assert torch.equal(output, _passed_through(sampler.transformer, stack, block, arguments))
            else:
                assert prove_listed(sampler.transformer, arguments, plan, stack, output) or stack == "joint"


def _passed_through(transformer, stack, block, arguments):
    """The output where one block of Chroma gives its input back."""
    one = getattr(transformer, stack)[block]
    double = stack == "transformer_blocks"

    def forward(hidden_states, encoder_hidden_states=None, *_, **__):
        return (encoder_hidden_states, hidden_states) if double else hidden_states

    one.forward = forward
    try:
        with torch.inference_mode():
            return transformer(**arguments)[0]
    finally:
        del one.forward


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
