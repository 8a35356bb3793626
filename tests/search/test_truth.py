"""The table of all removals: measured by one walk, it has the error of every plan; and it is read as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.ablation.removals import all_removals, mask_of
from harness.analysis.velocity import plan_errors
from harness.errors import DataError
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import resolve
from harness.models.checkpoints.weight_files import weights_digest
from harness.search.truth import FOLDER, Circumstances, measure_truth, read_truth, write_truth
from harness.surgery.subset_walk import subset_block_runs

ROOT = Path(__file__).parents[2]
PROMPTS = ["a red circle", "a blue square", "a green star"]
ABOUT = Circumstances("flux-tiny", {"double": 2, "single": 3}, "w", tuple(PROMPTS), 1, (1, 3), 4, {"torch": "2"})


@pytest.fixture(scope="module")
def sampler():
    """flux-tiny with two double and three single blocks."""
    lab = Lab("flux-tiny", prompts=PROMPTS, device=torch.device("cpu"))
    model = lab.transformer
    model.transformer_blocks = nn.ModuleList(list(model.transformer_blocks)[:2])
    model.single_transformer_blocks = nn.ModuleList(list(model.single_transformer_blocks)[:3])
    return lab.sampler


@pytest.fixture(scope="module")
def measured(sampler):
    return measure_truth(sampler, ABOUT)


def test_every_removal_has_the_error_of_its_plan(sampler, measured):
    assert measured.fine.shape == measured.rough.shape == (32,)
    assert measured.fine[0] == 0
    assert list(np.bincount(measured.sizes)) == [1, 5, 10, 10, 5, 1]
    removals = list(all_removals(5))
    plans = [measured.blocks.plan(removal) for removal in removals]
    slow = plan_errors(sampler, PROMPTS, plans, steps=[1, 3]).error.mean(axis=2)
    for removal, alone in zip(removals, slow, strict=True):
        assert measured.fine[mask_of(removal)] == pytest.approx(alone.mean(), rel=1e-4)
        assert measured.rough[mask_of(removal)] == pytest.approx(alone[0], rel=1e-4)
        assert measured.measure([removal], False) == [measured.fine[mask_of(removal)]]


def test_a_table_is_read_as_it_was_written(measured, tmp_path):
    write_truth(measured, tmp_path / "t.safetensors")
    again = read_truth(tmp_path / "t.safetensors")
    assert again.about == measured.about
    assert again.fine == pytest.approx(measured.fine, rel=1e-6)
    assert again.rough == pytest.approx(measured.rough, rel=1e-6)


def test_what_is_no_table_is_one_line(measured, tmp_path):
    path = tmp_path / "t.safetensors"
    for content in (b"", b"{}", b"\0" * 64):
        path.write_bytes(content)
        with pytest.raises(DataError, match="can't be read as a table of all removals"):
            read_truth(path)
    with pytest.raises(DataError, match="can't be read"):
        read_truth(tmp_path / "nowhere")


def test_too_many_blocks_are_refused(sampler):
    about = Circumstances("m", {"double": 19, "single": 38}, "w", ("a",), 1, (0,), 4, {})
    with pytest.raises(DataError, match="m has 57 blocks"):
        measure_truth(sampler, about)


def test_a_table_takes_no_more_block_runs_than_sharing_needs(measured):
    assert measured.about.block_runs == subset_block_runs(5)
    assert measured.about.seconds > 0


@pytest.mark.parametrize("name", ["flux-tiny", "auraflow-tiny", "sd3-tiny"])
def test_the_bundled_models_have_tables_of_the_weights_that_are_there(name):
    truth = read_truth(ROOT / FOLDER / f"{name}.safetensors")
    checkpoint = resolve(name)
    assert truth.about.lengths == checkpoint.stacks
    assert truth.about.weights == weights_digest(checkpoint.folder)
    assert truth.about.block_runs <= 1.3 * subset_block_runs(truth.blocks.count)
    assert truth.fine[0] == 0
    assert np.isfinite(truth.fine).all()
    assert (truth.fine[1:] > 0).all()
