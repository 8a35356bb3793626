"""What the harness itself costs; run by hand: ``pytest tests/benchmarks --benchmark-columns=median,iqr``."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.ablation.plan import identity
from harness.metrics.judge import OpenClipJudge
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.rank_intervals import rank_intervals
from harness.results.statistics import paired_mmd
from harness.surgery.block_contract import contract
from harness.surgery.view import ablate
from harness.tiny import checker, render, world
from tests.helpers import models


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("way", ["bare", "identity", "slots everywhere"])
def test_forward(benchmark, way, batch):
    """The view's cost: the same forward bare, under the identity plan, and with every block behind a slot."""
    model, arguments = models.flux(doubles=5, singles=10)
    arguments = {
        k: v[:1].repeat(batch, *[1] * (v.ndim - 1)) if torch.is_tensor(v) and not k.endswith("ids") else v
        for k, v in arguments.items()
    }
    benchmark.group = f"forward, batch {batch}"

    def forward():
        with torch.inference_mode():
            model(**arguments)

    if way == "bare":
        benchmark.pedantic(forward, rounds=40, warmup_rounds=5)
        return
    force = way != "identity"
    with (
        ablate(model, identity(5), "double", force_slots=force),
        ablate(model, identity(10), "single", force_slots=force),
    ):
        benchmark.pedantic(forward, rounds=40, warmup_rounds=5)


def test_contract(benchmark):
    model, _ = models.flux()
    benchmark(contract, model, "transformer_blocks")


def test_ranks_of_a_hundred_variants(benchmark):
    harm = np.random.default_rng(0).normal(size=(100, 64))
    benchmark(rank_intervals, harm)


def test_mmd(benchmark):
    x, y = np.random.default_rng(0).normal(size=(2, 64, 64))
    benchmark(paired_mmd, x, y)


@pytest.fixture(scope="module")
def scenes():
    layouts = world.sample(64, np.random.default_rng(0))
    return layouts, render.render(layouts)


def test_render(benchmark, scenes):
    benchmark(render.render, scenes[0])


def test_check(benchmark, scenes):
    benchmark(checker.score, scenes[1], scenes[0])


def test_judge(benchmark, scenes):
    judge = OpenClipJudge(BUNDLED / "judge", torch.device("cpu"))
    benchmark(judge.embed_images, scenes[1])
