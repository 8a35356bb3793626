"""Every fault changes what it is meant to change, where it applies, and is gone afterwards."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.gates.validation.faults import FAULTS, one_more_skipped
from harness.models.checkpoints.resolve import Settings
from harness.models.sampler import Sampler
from harness.tiny import auraflow, flux, render, sd3, vae
from tests.helpers.models import SPECS, perturbed

FAMILIES = {"flux": flux, "sd3": sd3, "auraflow": auraflow}
PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross on a white background"]
FAULTS = [m for m in FAULTS if m.name not in ("one-more-skipped", "no-op")]
EVERYWHERE = {"late-timestep", "no-shift", "norm-epsilon", "frozen-text", "bfloat16", "vae-scale"}
APPLIES = {
    "flux": EVERYWHERE | {"swapped-ids", "rotary-base", "norm-weight"},
    "sd3": EVERYWHERE | {"guidance+10%", "guidance-10%", "norm-weight"},
    "auraflow": EVERYWHERE | {"no-mask"},
}


@pytest.fixture(scope="module")
def samplers(tmp_path_factory):
    torch.manual_seed(0)
    autoencoder = perturbed(vae.build())
    settings = Settings(steps=2, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    made = {}
    for name, family in FAMILIES.items():
        pipeline = family.build_pipeline(tmp_path_factory.mktemp(name), autoencoder)
        perturbed(pipeline.transformer)
        own = dataclasses.replace(settings, guidance=2.0) if name == "sd3" else settings
        made[name] = Sampler(pipeline, SPECS[name], own, batch=2)
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_which_fault_exists_where(samplers, family):
    assert {m.name for m in FAULTS if m.applies(samplers[family])} == APPLIES[family]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mutant", FAULTS, ids=[m.name for m in FAULTS])
def test_a_fault_shows_and_is_gone_afterwards(samplers, family, mutant):
    sampler = samplers[family]
    if not mutant.applies(sampler):
        pytest.skip(f"no {mutant.name} in {family}")
    before = sampler.sample(PROMPTS, seed=0)
    with mutant.at_work(sampler):
        faulty = sampler.sample(PROMPTS, seed=0)
    after = sampler.sample(PROMPTS, seed=0)
    assert not torch.equal(faulty.images, before.images)
    assert torch.equal(faulty.latents, before.latents) == (mutant.name == "vae-scale")
    assert torch.equal(after.images, before.images)
    assert torch.equal(after.latents, before.latents)


def test_a_fault_is_gone_after_an_exception(samplers):
    sampler = samplers["flux"]
    before = sampler.sample(PROMPTS, seed=0).sha256()
    for mutant in FAULTS:
        if mutant.applies(sampler):
            with pytest.raises(ZeroDivisionError), mutant.at_work(sampler):
                raise ZeroDivisionError
    assert sampler.sample(PROMPTS, seed=0).sha256() == before


@pytest.mark.parametrize(
    ("plan", "span", "expected"),
    [
        ("0 4", (1, 3), "0"),
        ("0-2 4-9", (3, 3), "0-2 5-9"),
        ("0-6", (7, 9), "0-5"),
        ("0 (1|2|3)x3 4", (1, 3), "0 (1|2|3)x3"),
        ("0 3 2 1 4", (1, 3), "0 3 2 1"),
        ("(0|1|2|3)", (0, 3), "(0|1|2|3)"),
        ("3-0", (0, 3), "3 2 0"),
    ],
)
def test_one_more_block_is_the_one_beside_the_range(plan, span, expected):
    length = 10 if "9" in plan or "6" in plan else 5
    assert one_more_skipped(parse(plan, length=length), length, Span(*span)) == parse(expected, length=length)
