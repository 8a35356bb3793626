"""Rounded weights: against a plain loop over numbers, in a range and outside it, and put back bitwise."""

from __future__ import annotations

import pytest
import torch

from harness.modifiers.precision import rounded
from tests.helpers.models import SPECS
from tests.helpers.samplers import PLACES, PROMPTS, latents, sampler_of


def plainly(weight, kind):
    rows = []
    for row in weight.tolist():
        groups = [row[i : i + 64] for i in range(0, len(row), 64)] if kind == "int4" and len(row) % 64 == 0 else [row]
        out = []
        for group in groups:
            scale = max(map(abs, group)) / {"int8": 127, "int4": 7, "fp8-e4m3": 448}[kind] or 1.0
            out += [to_few(value / scale, kind) * scale for value in group]
        rows.append(out)
    return torch.tensor(rows)


def to_few(value, kind):
    """The nearest whole number, or the nearest number with three bits after the first, down to 2^-9."""
    if kind != "fp8-e4m3":
        return round(value)
    if value == 0:
        return 0.0
    exponent = max(torch.frexp(torch.tensor(abs(value), dtype=torch.float64))[1].item() - 1, -6)
    step = 2.0 ** (exponent - 3)
    return round(value / step) * step


@pytest.mark.parametrize("kind", ["int8", "int4", "fp8-e4m3"])
@pytest.mark.parametrize("columns", [128, 20])
def test_it_is_what_a_plain_loop_rounds_to(kind, columns):
    weight = torch.randn(5, columns, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    few = rounded(weight, kind)
    assert torch.allclose(few, plainly(weight, kind), atol=1e-5)
    assert len(few[0].unique()) <= {"int8": 255, "int4": 15 * (columns // 64 or 1), "fp8-e4m3": 256}[kind]
    assert rounded(weight.bfloat16(), kind).dtype is torch.bfloat16


@pytest.mark.parametrize("family", SPECS)
def test_the_range_and_the_rest_are_rounded_and_put_back(pipelines, family):
    sampler = sampler_of(pipelines, family)
    control = sampler.sample(PROMPTS, 0).latents
    before = {name: p.data for name, p in sampler.transformer.named_parameters()}
    inside = latents(sampler, f"{PLACES[family]}-quant-int4")[0]
    outside = latents(sampler, f"{PLACES[family]}-quant-int4-outside")[0]
    assert not torch.equal(inside, control)
    assert not torch.equal(outside, control)
    assert not torch.equal(inside, outside)
    # The slow way: the same weights rounded by hand.
    stack, _, place = PLACES[family].partition("-L")
    first, _, last = map(str, place.partition("-"))
    names = {"double": "transformer_blocks", "single": "single_transformer_blocks", "joint": "transformer_blocks"}
    chosen = [f"{names[stack]}.{i}." for i in range(int(first), int(last) + 1)]
    with torch.no_grad():
        for name, module in sampler.transformer.named_modules():
            if isinstance(module, torch.nn.Linear) and name.startswith(tuple(chosen)):
                module.weight.data = rounded(module.weight.data, "int4")
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, inside)
    for name, parameter in sampler.transformer.named_parameters():
        parameter.data = before[name]
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)
