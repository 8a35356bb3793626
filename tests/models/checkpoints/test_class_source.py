"""What is read of diffusers' classes without importing them."""

from __future__ import annotations

import importlib
import inspect

import diffusers
import pytest

from harness.models.checkpoints.class_source import block_lists, pipeline_source
from tests.helpers.needs import needs

PIPELINES = [
    "QwenImagePipeline",
    "ZImagePipeline",
    "PixArtSigmaPipeline",
    "Flux2KleinPipeline",
    "QwenImageEditPipeline",
]


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(f"diffusers.{name}")) for name in PIPELINES])
def test_parameters_and_defaults_are_those_of_the_class_itself(name):
    source, kind = pipeline_source(name), getattr(diffusers, name)
    every = list(inspect.signature(kind.__call__).parameters.items())[1:]  # without self
    real = {n: p for n, p in every if p.kind is not inspect.Parameter.VAR_KEYWORD}
    assert list(source.parameters) == list(real)
    constants = (int, float, str, bool, type(None))
    same = {n: p.default for n, p in real.items() if isinstance(p.default, constants)}
    assert {n: source.parameters[n] for n in same} == same
    assert source.required == {n for n, p in real.items() if p.default is inspect.Parameter.empty}
    assert list(source.prepares) == list(inspect.signature(kind.prepare_latents).parameters)[1:]
    assert source.transformer == inspect.signature(kind.__init__).parameters["transformer"].annotation.__name__


@needs("diffusers.QwenImagePipeline")
def test_names_and_guidance_are_read_from_the_methods():
    assert pipeline_source("QwenImagePipeline").returned == ("prompt_embeds", "prompt_embeds_mask")
    assert pipeline_source("QwenImagePipeline").guidance == "true_cfg_scale"


@needs("diffusers.ZImagePipeline")
def test_lists_of_embeddings_are_read_from_the_annotations():
    assert pipeline_source("ZImagePipeline").listed == {"prompt_embeds", "negative_prompt_embeds"}


def test_passes_are_read_from_the_methods():
    assert pipeline_source("PixArtSigmaPipeline").one_forward
    assert not pipeline_source("Lumina2Pipeline").one_forward
    assert not pipeline_source("PixArtSigmaPAGPipeline").one_forward  # a third pass
    assert pipeline_source("NoSuchPipeline") is None


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        pytest.param(name, attributes, marks=needs(f"diffusers.{name}"))
        for name, attributes in {
            "QwenImageTransformer2DModel": ["transformer_blocks"],
            "Flux2Transformer2DModel": ["transformer_blocks", "single_transformer_blocks"],
            "ZImageTransformer2DModel": ["noise_refiner", "context_refiner", "layers"],  # its third one is optional
            "PixArtTransformer2DModel": ["transformer_blocks"],
        }.items()
    ],
)
def test_lists_of_blocks_are_those_that_every_config_builds_in_running_order(name, attributes):
    lists = block_lists(name)
    assert [blocks.attribute for blocks in lists] == attributes
    kind = getattr(diffusers, name)
    for blocks in lists:
        assert blocks.length_key in inspect.signature(kind.__init__).parameters
        assert hasattr(importlib.import_module(kind.__module__), blocks.block)


def test_a_class_that_diffusers_does_not_have_has_no_lists_of_blocks():
    assert block_lists("NoSuchModel") == ()
