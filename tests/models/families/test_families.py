"""Every family has every part, the table agrees with diffusers, and a fourth family needs one entry and one file."""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import inspect
import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel

import harness
from harness.ablation.ranges import Span
from harness.ablation.strategies import choose
from harness.analysis.hidden_states import clock, content
from harness.analysis.lokr.weighting import lycoris
from harness.analysis.noised_images import clean_latents, on_noised
from harness.cli.main import main
from harness.gates.validation.faults import FAULTS
from harness.lab import cost
from harness.lab.lab import Lab
from harness.lab.random_lab import RandomLab
from harness.models import spec
from harness.models.checkpoints.pipeline_folder import AUTOENCODER_HOLDER
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.models.families.auraflow import AuraFlow
from harness.models.families.base import FamilyAdapter
from harness.models.families.registry import adapter
from harness.models.random_weights import checkpoint as random_checkpoint
from harness.models.sampler import Sampler
from harness.models.spec import FAMILIES, Settings, Stack
from harness.surgery.pruning import family_of, prune
from harness.tiny import render, world
from harness.tiny.train import TARGETS
from tests.helpers.models import random_pipelines

CPU = torch.device("cpu")
PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross on a white background"]
SETTINGS = Settings(steps=2, guidance=2.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
EVERY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
ABSENT = {"position_ids", "position_limit", "rotary", "masked_tokenizer"}  # what a family may not have


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """By family, in a dtype that the scheduler doesn't compute in."""
    made = random_pipelines(tmp_path_factory.mktemp("pipelines"))
    return {name: pipeline.to(torch.bfloat16) for name, pipeline in made.items()}


@EVERY
def test_every_plain_field_is_filled(family):
    assert FAMILIES[family.transformer] is family
    for field in dataclasses.fields(family):
        value = getattr(family, field.name)
        assert field.name in ABSENT or isinstance(value, bool) or value, field.name
    for stack in family.stacks:
        values = [getattr(stack, field.name) for field in dataclasses.fields(stack)]
        assert all(isinstance(value, bool) or value for value in values), stack
    assert len({stack.name for stack in family.stacks}) == len(family.stacks)
    assert len({other.name for other in FAMILIES.values()}) == len(FAMILIES)


@EVERY
def test_every_family_has_every_part(family):
    own = adapter(family)
    assert isinstance(own, FamilyAdapter)
    assert own.family is family
    assert FamilyAdapter.__abstractmethods__ >= {"encode", "noise", "text_encoders", "text_tokens", "random_inputs"}
    for part in FamilyAdapter.__abstractmethods__:
        assert getattr(type(own), part) is not getattr(FamilyAdapter, part), part
        names = list(inspect.signature(getattr(FamilyAdapter, part)).parameters)
        assert list(inspect.signature(getattr(type(own), part)).parameters) == names, part


def test_a_family_that_lacks_a_part_cannot_be_used():
    missing = type("Missing", (FamilyAdapter,), {})
    with pytest.raises(TypeError, match="abstract method"):
        missing(spec.FLUX)


@EVERY
def test_the_tables_names_are_those_of_diffusers(family, pipelines):
    pipeline = pipelines[family.name]
    model = pipeline.transformer
    assert type(pipeline) is getattr(diffusers, family.pipeline)
    assert type(model) is getattr(diffusers, family.transformer)
    for stack in family.stacks:
        blocks = getattr(model, stack.attribute)
        assert len(blocks) == model.config[stack.length_key]
        assert {type(block).__name__ for block in blocks} == {stack.block}
        layers = [name for name, layer in blocks[0].named_modules() if list(layer.parameters(recurse=False))]
        taken = {pattern: fnmatch.filter(layers, pattern) for pattern in stack.lokr_at_factor}
        assert all(taken.values()), taken
        assert set(layers) - {name for names in taken.values() for name in names}  # attention is left over
    keys = family.width_keys
    for key in filter(None, (keys.heads, keys.head_width, *keys.text, keys.projected_text, keys.rotary_axes)):
        assert key in model.config
    assert set(family.position_ids or ()) <= set(inspect.signature(type(model).forward).parameters)
    assert not family.rotary or getattr(model, family.rotary).theta > 1
    assert not family.masked_tokenizer or getattr(pipeline, family.masked_tokenizer)(PROMPTS[0])["attention_mask"]


@EVERY
def test_the_table_says_what_the_pipeline_passes(family, pipelines):
    pipeline = pipelines[family.name]
    sampler = Sampler(pipeline, family, SETTINGS, batch=2)
    given = sampler.forward_arguments(PROMPTS)
    assert len(given["hidden_states"]) == (4 if family.guidance_batched else 2)
    assert family.guided(SETTINGS) is family.guidance_batched
    timestep = given["timestep"]
    assert timestep.dtype == (torch.bfloat16 if family.timestep_cast else torch.float32)
    assert float(timestep.max()) == family.timestep_scale  # the first step is all noise
    assert clock(pipeline, float(timestep.max())).scale == family.timestep_scale
    unguided = Sampler(pipeline, family, dataclasses.replace(SETTINGS, guidance=1.0), batch=2)
    assert len(unguided.forward_arguments(PROMPTS)["hidden_states"]) == 2
    assert not family.guided(unguided.settings)


def test_every_family_of_the_bundled_world_can_be_trained():
    assert set(TARGETS) == {"judge", *(family.name for family in FAMILIES.values())}


# Where a family may be called by its name; elsewhere its entry or its adapter is asked. Findings quote publications,
# which speak of models by name.
HOMES = ("models/spec.py", "models/families/", "models/checkpoints/published.py", "tiny/", "findings/", "survey/")


def family_names(source):
    """The lines that hold a family's name, or the name of one of its classes, as a string."""
    names = {
        name
        for family in FAMILIES.values()
        for name in (family.name, family.transformer, family.pipeline, *(stack.block for stack in family.stacks))
    }
    nodes = ast.walk(ast.parse(source))
    return [node.lineno for node in nodes if isinstance(node, ast.Constant) and node.value in names]


def guidance_rules(source):
    """The lines that compare a guidance with a number."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    sides = [(node, side) for node in nodes for side in (node.left, *node.comparators)]
    return [n.lineno for n, side in sides if getattr(side, "attr", getattr(side, "id", "")) == "guidance"]


def modules():
    root = Path(harness.__file__).parent
    files = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    assert {"models/spec.py", "gates/validation/faults.py"} <= set(files)
    return files


def test_no_other_module_knows_families_by_name():
    elsewhere = {name: family_names(text) for name, text in modules().items() if not name.startswith(HOMES)}
    assert {name: lines for name, lines in elsewhere.items() if lines} == {}


def test_when_guidance_takes_two_passes_is_decided_in_one_place():
    found = {name: guidance_rules(text) for name, text in modules().items() if not name.startswith("tiny/")}
    assert [name for name, lines in found.items() for _ in lines] == ["models/spec.py"]


@pytest.mark.parametrize(
    ("scan", "source"),
    [
        (family_names, "SHIFT = {\n'sd3': 1}"),
        (family_names, "\nkind = x.family == 'flux'"),
        (family_names, "\nnames = {'AuraFlowPipeline'}"),
        (guidance_rules, "\nif settings.guidance > 1.0: pass"),
        (guidance_rules, "\ntwice = 1 < guidance"),
    ],
)
def test_the_search_finds_what_it_looks_for(scan, source):
    assert scan(source) == [2]
    assert scan('"""Says flux, or settings.guidance > 1."""\nx = "flux-tiny"') == []


# A made-up fourth family: AuraFlow's network under other names, with parts of its own where that shows.


class Boreal(AuraFlow):
    """The file of the fourth family. It counts a prompt's words without the end token, and its latents are halved."""

    def text_tokens(self, masks, length, transformer):
        tokens = super().text_tokens(masks, length, transformer)
        last = tokens.cumsum(dim=1).argmax(dim=1, keepdim=True)
        return tokens.scatter(1, last, value=False)

    def random_inputs(self, config, settings, grid, normal):
        inputs = super().random_inputs(config, settings, grid, normal)
        return {**inputs, "hidden_states": inputs["hidden_states"] / 2}

    def latents_from_pixels(self, pipeline, pixels):
        return super().latents_from_pixels(pipeline, pixels) / 2


BOREAL = dataclasses.replace(
    spec.AURAFLOW,
    name="boreal",
    adapter=f"{__name__}:Boreal",
    transformer="BorealTransformer2DModel",
    pipeline="BorealPipeline",
    stacks=(
        Stack("front", "joint_transformer_blocks", "num_mmdit_layers", "FrontBlock", ("norm1*",)),
        Stack("back", "single_transformer_blocks", "num_single_dit_layers", "BackBlock", ("ff*",)),
    ),
    masked_tokenizer="",
)


@pytest.fixture(scope="module")
def boreal(tmp_path_factory):
    """A checkpoint folder of the fourth family, which stands in the table and in this diffusers meanwhile."""
    folder = shutil.copytree(BUNDLED / "auraflow-tiny", tmp_path_factory.mktemp("checkpoints") / "boreal-tiny")
    shutil.copytree(AUTOENCODER_HOLDER, folder / "vae", dirs_exist_ok=True)
    for file, changes in {
        "model_index.json": {"_class_name": BOREAL.pipeline, "transformer": ["diffusers", BOREAL.transformer]},
        "transformer/config.json": {"_class_name": BOREAL.transformer},
        "harness.json": {"judge": str(BUNDLED / "judge"), "prompts": str(BUNDLED / "prompts.txt")},
    }.items():
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, BOREAL.transformer, BOREAL)
        for name, base in ((BOREAL.transformer, AuraFlowTransformer2DModel), (BOREAL.pipeline, AuraFlowPipeline)):
            patch.setattr(diffusers, name, type(name, (base,), {}), raising=False)
        yield str(folder)


@pytest.fixture(scope="module")
def lab(boreal):
    return Lab(boreal, prompts=PROMPTS)


def test_a_fourth_family_is_found_loaded_and_sampled(boreal, lab, capsys):
    checkpoint = resolve(boreal)
    assert checkpoint.family is BOREAL
    assert list(checkpoint.stacks) == ["front", "back"]
    assert type(lab.sampler.adapter) is Boreal
    assert type(lab.transformer).__name__ == BOREAL.transformer
    assert main(["list", boreal, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "boreal"
    given, plain = (sample(PROMPTS, seed=1) for sample in (lab.sampler.sample, lab.sampler.sample_plainly))
    torch.testing.assert_close(given.latents, plain.latents, rtol=0, atol=1e-5)
    twin = Lab("auraflow-tiny", prompts=PROMPTS).sampler.sample(PROMPTS, seed=1)
    assert torch.equal(given.images, twin.images)  # the same network by another name


def test_a_fourth_family_is_ablated_and_pruned(lab):
    measured, _ = lab.run(choose("skip").plan(lab.checkpoint.stacks["back"], Span(1, 1)), "back")
    assert measured.summary["latent_drift"] > 0
    family = family_of(lab.transformer)
    pruned, _ = prune(lab.transformer, family, {"back": (0, 1)})
    assert family is BOREAL
    assert len(pruned.single_transformer_blocks) == 2


def test_a_fourth_familys_text_and_latents_are_its_own(lab):
    sampler = lab.sampler
    assert content(sampler, PROMPTS).sum(dim=1).tolist() == [len(prompt.split()) for prompt in PROMPTS]
    pixels = render.render(world.parse_all(lab.prompts)) / 255.0
    twin = AuraFlow(BOREAL).latents_from_pixels(sampler.pipeline, torch.from_numpy(pixels).float())
    torch.testing.assert_close(clean_latents(sampler, pixels), twin / 2)
    profile = on_noised(lab, levels=2, draws=3)
    assert {stream.stack for stream in profile.streams} == {"front", "back"}


def test_a_fourth_family_has_random_weights(boreal):
    checkpoint = random_checkpoint.resolve(boreal, "random:small")
    settings = dataclasses.replace(checkpoint.settings, batch=2)
    lab = RandomLab(dataclasses.replace(checkpoint, settings=settings), device=CPU)
    assert 0.4 < float(lab.timed_forward().arguments["hidden_states"].std()) < 0.6
    measured, _ = lab.run(choose("skip").plan(checkpoint.stacks["front"], Span(0, 0)), "front")
    assert measured.summary["output_drift"] > 0


def test_a_fourth_family_has_lokr_targets_a_cost_and_faults(lab):
    lengths = dict(lab.checkpoint.stacks)
    preset = lycoris(BOREAL, lengths, [3] * sum(lengths.values()))["apply_preset"]
    assert preset["target_module"] == ["FrontBlock", "BackBlock"]
    assert preset["name_algo_map"]["joint_transformer_blocks.0.norm1*"]["factor"] == 3
    guided = dataclasses.replace(lab.checkpoint.settings, guidance=3.0)
    assert cost.cost(lengths, guided, BOREAL, (), 8).guided
    assert not cost.cost(lengths, guided, dataclasses.replace(BOREAL, guidance_batched=False), (), 8).guided
    applied = {fault.name for fault in FAULTS if fault.applies(lab.sampler)}
    assert "late-timestep" in applied
    assert not applied & {"no-mask", "swapped-ids", "rotary-base"}
