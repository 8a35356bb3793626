"""Published checkpoints: their configs build the real architectures, and their names are found."""

from __future__ import annotations

import diffusers
import pytest
import torch

from harness.ablation.case import slug
from harness.models.checkpoints import published
from harness.models.checkpoints.general_family import general_family
from harness.models.checkpoints.published import PUBLISHED
from harness.models.spec import DTYPES
from tests.helpers.needs import needs

PARAMETERS = {
    "flux.1-schnell": 11_891_178_560,
    "flux.1-dev": 11_901_408_320,
    "sd3-medium": 2_028_328_000,
    "sd3.5-medium": 2_243_171_520,
    "sd3.5-large": 8_056_627_520,
    "auraflow-v0.2": 6_842_876_928,
    "flux.1-lite-8b": 8_163_264_064,
    "flex.1-alpha": 8_163_264_064,
    "qwen-image": 20_430_401_088,
    "qwen-image-layered": 20_430_407_232,
    "flux.2-dev": 32_223_281_152,
    "flux.2-klein-4b": 3_875_544_576,
    "flux.2-klein-9b": 9_078_581_248,
    "z-image-turbo": 6_154_908_736,
    "pixart-sigma-1024": 610_856_096,
    "sana-1600m-1024": 1_604_462_752,
    "lumina-image-2.0": 2_609_769_152,
    "chroma1-hd": 8_899_983_424,
}


def parameters(checkpoints):
    """Published checkpoints by their names; skipped where the installed diffusers has no such pipeline."""
    return [pytest.param(real, id=real.name, marks=needs(f"diffusers.{real.family.pipeline}")) for real in checkpoints]


@pytest.mark.parametrize("real", parameters(PUBLISHED.values()))
def test_a_known_config_builds_the_real_architecture(real):
    with torch.device("meta"):
        model = getattr(diffusers, real.family.transformer)(**real.config)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[real.name]
    for stack in real.family.stacks:
        assert {type(block).__name__ for block in getattr(model, stack.attribute)} == {stack.block}
        assert len(getattr(model, stack.attribute)) == real.stacks[stack.name]
    if real.family.name == "sd3":  # elsewhere a second attention is to the text
        dual = [i for i, block in enumerate(model.transformer_blocks) if getattr(block, "attn2", None)]
        assert dual == (list(range(13)) if real.name == "sd3.5-medium" else [])
    side = real.settings.height // 16
    assert model.config.get("pos_embed_max_size", side**2) >= (side if real.family.name == "sd3" else side**2)


@pytest.mark.parametrize("real", PUBLISHED.values(), ids=PUBLISHED)
def test_known_names_fit_ids_and_are_found_whatever_their_case(real):
    assert slug(real.name) == real.name
    for text in (real.name.upper(), real.hub_id, real.hub_id.lower()):
        assert published.find(text) is real
    assert real.settings.dtype in DTYPES
    if real.gigabytes is not None:
        assert real.gigabytes * 1e9 > 2 * PARAMETERS[real.name]


@pytest.mark.parametrize("real", parameters(real for real in PUBLISHED.values() if real.family.general))
def test_what_is_declared_of_a_pipeline_without_an_adapter_is_what_its_source_says(real):
    vae = "AutoencoderDC" if real.name.startswith("sana") else "AutoencoderKL"
    index = {"transformer": ["diffusers", real.family.transformer], "vae": ["diffusers", vae]}
    derived = general_family({"_class_name": real.family.pipeline, **index}, "x")
    assert derived == real.family


def test_a_checkpoint_that_others_have_pruned_says_what_it_lacks():
    assert PUBLISHED["flux.1-lite-8b"].lacks == "11 of 19 double of flux.1-dev"
    assert PUBLISHED["flex.1-alpha"].lacks == "11 of 19 double of flux.1-schnell"
    assert not any(real.lacks for real in PUBLISHED.values() if not real.base)
