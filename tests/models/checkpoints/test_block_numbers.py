"""Pruned checkpoints of others: blocks under the numbers of their base, or fewer of them."""

from __future__ import annotations

import json

import pytest
import torch

from harness.errors import CheckpointError
from harness.models.checkpoints.block_numbers import lacking_numbers, renumbered
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.models.loading import load
from harness.models.sampler import Sampler
from harness.models.spec import FLUX
from harness.surgery.view import ablate
from tests.helpers.pruned import KEPT, configure, pruned_flux_tiny

CPU = torch.device("cpu")
PROMPTS = (BUNDLED / "prompts.txt").read_text().splitlines()[:2]


@pytest.fixture
def pruned(tmp_path):
    return pruned_flux_tiny(tmp_path)


def test_blocks_whose_numbers_have_holes_load_in_order_and_say_what_is_missing(pruned):
    checkpoint = resolve(str(pruned))
    assert checkpoint.stacks == {"double": 3, "single": 10}
    assert checkpoint.block_numbers == {"double": KEPT}
    assert checkpoint.lacks == "1 and 3 of double"
    whole = resolve("flux-tiny")
    assert (whole.block_numbers, whole.lacks) == ({}, "")
    mine, theirs = (Sampler(load(c, CPU), c.family, whole.settings, batch=2) for c in (checkpoint, whole))
    with ablate(theirs.transformer, "double: 0 2 4"):
        expected = theirs.sample(PROMPTS, seed=0)
    assert torch.equal(mine.sample(PROMPTS, seed=0).latents, expected.latents)


def test_a_config_that_asks_for_more_blocks_than_there_are_is_still_a_damaged_checkpoint(pruned):
    configure(pruned, num_layers=5)
    checkpoint = resolve(str(pruned))
    assert checkpoint.block_numbers == {}
    with pytest.raises(CheckpointError, match=r"no file holds the weight|doesn't load"):
        load(checkpoint, CPU)


def test_a_folder_saved_from_a_published_checkpoint_says_how_many_blocks_it_lacks(pruned):
    index = json.loads((pruned / "model_index.json").read_text())
    (pruned / "model_index.json").write_text(json.dumps(index | {"_name_or_path": "ostris/Flex.1-alpha"}))
    assert resolve(str(pruned)).lacks == "1 and 3 of double"  # the numbers themselves say more
    next((pruned / "transformer").glob("*.safetensors")).unlink()
    assert resolve(str(pruned)).lacks == "11 of 19 double of flux.1-schnell"


def test_a_weight_is_called_by_its_blocks_place():
    numbers = {"double": (0, 1, 10)}
    assert renumbered("transformer_blocks.10.ff.net.weight", FLUX, numbers) == "transformer_blocks.2.ff.net.weight"
    for name in ("single_transformer_blocks.10.norm.weight", "x_embedder.weight"):
        assert renumbered(name, FLUX, numbers) == name
    assert lacking_numbers({"double": (0, 1, 2, 10, 18), "single": (1,)}) == "3-9 and 11-17 of double, 0 of single"
