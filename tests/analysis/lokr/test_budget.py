"""The parameters that a LoKr trains, as LyCORIS counts them, and the ranks that PEFT reads."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from peft import LoKrConfig, LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from torch import nn

from harness.analysis.lokr.budget import Layer, by_block, factorization, layers, lora_parameters, peft
from harness.analysis.lokr.weighting import lycoris
from harness.models.spec import AURAFLOW, FLUX, SD3
from tests.helpers import models

FAMILIES = {"flux": FLUX, "sd3": SD3, "auraflow": AURAFLOW}


def trained(name, *, as_published=False):
    """A small model, and its layers under a different factor for each block."""
    model = models.FAMILIES[name]()[0]
    lengths = {s.name: len(getattr(model, s.attribute)) for s in FAMILIES[name].stacks}
    factors = [*range(1, 1 + sum(lengths.values()))]
    config = lycoris(FAMILIES[name], lengths, factors, as_published=as_published)
    return model, layers(model, FAMILIES[name], config), factors


def slow(dimension, factor):
    """LyCORIS 3.1.0's own search in our words: climb through the divisors until one is too large."""
    if dimension % factor == 0:
        return tuple(sorted((factor, dimension // factor)))
    small, large = 1, dimension
    while small < large:
        climbing = next(n for n in range(small + 1, dimension + 1) if dimension % n == 0)
        if climbing + dimension // climbing > 1 + dimension or climbing > factor:
            break
        small, large = climbing, dimension // climbing
    return tuple(sorted((small, large)))


@pytest.mark.parametrize("dimension", [1, 7, 16, 20, 24, 96, 100, 1536, 2432, 3072, 9216, 14592, 18432, 21504])
def test_a_dimension_is_cut_as_lycoris_does(dimension):
    for factor in range(1, 25):
        small, large = factorization(dimension, factor)
        assert small * large == dimension
        assert (small, large) == slow(dimension, factor), factor


def test_the_published_model_has_the_parameters_by_hand():
    layer = Layer("transformer_blocks.0.ff.net.0.proj", 0, 2432, 9728, 4)
    assert layer.parameters == 4 * 4 + 608 * 2432
    assert replace(layer, factor=1).parameters == 1 + 2432 * 9728


@pytest.mark.parametrize("name", FAMILIES)
def test_every_linear_layer_of_a_block_is_counted_once(name):
    model, found, factors = trained(name)
    attributes = tuple(f"{stack.attribute}." for stack in FAMILIES[name].stacks)
    linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.startswith(attributes)}
    assert {layer.name: (layer.inputs, layer.outputs) for layer in found} == {
        n: (m.in_features, m.out_features) for n, m in linear.items()
    }
    assert len(by_block(found)) == len(factors)
    assert sum(by_block(found)) == sum(layer.parameters for layer in found)
    for layer in found:
        attention = ".attn" in layer.name
        assert layer.factor == factors[layer.block] * (2 if attention else 1), layer.name


@pytest.mark.parametrize("name", FAMILIES)
def test_lycoris_itself_counts_as_many(name):
    """Where it is installed: the package is no dependency."""
    wrapper = pytest.importorskip("lycoris.wrapper")
    model, found, factors = trained(name)
    lengths = {s.name: len(getattr(model, s.attribute)) for s in FAMILIES[name].stacks}
    options = lycoris(FAMILIES[name], lengths, factors)
    wrapper.LycorisNetwork.apply_preset(options.pop("apply_preset"))
    network = wrapper.create_lycoris(
        model, options.pop("multiplier"), options.pop("linear_dim"), options.pop("linear_alpha"), **options
    )
    counted = {layer.lora_name: sum(p.numel() for p in layer.parameters()) for layer in network.loras}
    assert counted == {f"lycoris_{layer.name.replace('.', '_')}": layer.parameters for layer in found}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("rank", [None, 6])
def test_peft_reads_it_and_gives_each_layer_its_rank(name, rank):
    model, found, _ = trained(name)
    config = json.loads(json.dumps(peft(found, rank)))
    inject_adapter_in_model(LoraConfig(**config), model)
    weights = get_peft_model_state_dict(model)
    ranks = {key.removesuffix(".lora_A.weight"): len(value) for key, value in weights.items() if ".lora_A." in key}
    assert ranks == config["rank_pattern"] == {layer.name: ranks[layer.name] for layer in found}
    assert sum(value.numel() for value in weights.values()) == lora_parameters(found, ranks)
    for layer in found:
        wanted = layer.parameters / (layer.inputs + layer.outputs) if rank is None else rank / layer.factor
        assert ranks[layer.name] == max(1, round(wanted))
        assert model.get_submodule(layer.name).scaling == {"default": 1.0}
    assert config["r"] in ranks.values()


def test_pefts_lokr_reads_it_too():
    model, found, _ = trained("flux")
    config = peft(found, 4)
    inject_adapter_in_model(LoKrConfig(**config), model)
    inside = {name.rpartition(".lokr_")[0] for name, _ in model.named_parameters() if ".lokr_" in name}
    assert inside == {layer.name for layer in found}


def test_equal_ranks_are_an_equal_budget():
    """Of layers as wide as real ones, a LoRA of these ranks trains what the LoKr does, to the rounding of ranks."""
    wide = [Layer(f"b.{factor}", 0, 3072, 12288, factor) for factor in range(1, 13)]
    ranks = peft(wide)["rank_pattern"]
    lokr = sum(layer.parameters for layer in wide)
    assert math.isclose(lora_parameters(wide, ranks), lokr, rel_tol=0.01)
