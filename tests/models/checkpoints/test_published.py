"""Published checkpoints: their configs build the real architectures, and their names are found."""

from __future__ import annotations

import diffusers
import pytest
import torch

from harness.ablation.case import slug
from harness.models.checkpoints import published
from harness.models.checkpoints.published import PUBLISHED
from harness.models.spec import DTYPES

PARAMETERS = {
    "flux.1-schnell": 11_891_178_560,
    "flux.1-dev": 11_901_408_320,
    "sd3-medium": 2_028_328_000,
    "sd3.5-medium": 2_243_171_520,
    "sd3.5-large": 8_056_627_520,
    "auraflow-v0.2": 6_842_876_928,
}


@pytest.mark.parametrize("real", PUBLISHED.values(), ids=PUBLISHED)
def test_a_known_config_builds_the_real_architecture(real):
    with torch.device("meta"):
        model = getattr(diffusers, real.family.transformer)(**real.config)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[real.name]
    for stack in real.family.stacks:
        assert len(getattr(model, stack.attribute)) == real.stacks[stack.name]
    dual = [i for i, block in enumerate(getattr(model, "transformer_blocks", [])) if getattr(block, "attn2", None)]
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
