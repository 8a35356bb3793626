"""What is read of diffusers' classes without importing them."""

from __future__ import annotations

import importlib
import inspect

import diffusers
import pytest

from harness.models.checkpoints.class_source import block_lists, pipeline_source

PIPELINES = [
    "QwenImagePipeline",
    "ZImagePipeline",
    "PixArtSigmaPipeline",
    "Flux2KleinPipeline",
    "QwenImageEditPipeline",
]


@pytest.mark.parametrize("name", PIPELINES)
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


def test_names_guidance_and_passes_are_read_from_the_methods():
    assert pipeline_source("QwenImagePipeline").returned == ("prompt_embeds", "prompt_embeds_mask")
    assert pipeline_source("QwenImagePipeline").guidance == "true_cfg_scale"
    assert pipeline_source("ZImagePipeline").listed == {"prompt_embeds", "negative_prompt_embeds"}
    assert pipeline_source("PixArtSigmaPipeline").one_forward
    assert not pipeline_source("Lumina2Pipeline").one_forward
    assert not pipeline_source("PixArtSigmaPAGPipeline").one_forward  # a third pass
    assert pipeline_source("NoSuchPipeline") is None


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("QwenImageTransformer2DModel", ["transformer_blocks"]),
        ("Flux2Transformer2DModel", ["transformer_blocks", "single_transformer_blocks"]),
        ("ZImageTransformer2DModel", ["noise_refiner", "context_refiner", "layers"]),  # its third refiner is optional
        ("PixArtTransformer2DModel", ["transformer_blocks"]),
        ("NoSuchModel", []),
    ],
)
def test_lists_of_blocks_are_those_that_every_config_builds_in_running_order(name, attributes):
    found = block_lists(name)
    assert [each.attribute for each in found] == attributes
    for each in found:
        kind = getattr(diffusers, name)
        assert each.length_key in inspect.signature(kind.__init__).parameters
        assert hasattr(importlib.import_module(kind.__module__), each.block)
