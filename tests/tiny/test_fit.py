"""Training is resumable and seeded: a run that was stopped ends bitwise where an unbroken one does."""

from __future__ import annotations

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from harness.metrics.judge import OpenClipJudge
from harness.tiny import vae, world
from harness.tiny.fit import Recipe, fit
from harness.tiny.flow import draw_times
from harness.tiny.flux import pack
from harness.tiny.train import prompts

RECIPE = Recipe(steps=20, batch=8, rate=1e-2, seed=3, warm_up=4, evaluate_every=10, checkpoint_every=5)


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def train(folder, *, stop_at=None, recipe=RECIPE):
    model = module()
    calls = 0

    def loss(rng):
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(rng.normal(size=(recipe.batch, 3)).astype(np.float32))
        return (model(x)[:, 0] - x.sum(1)).square().mean(), {}

    fit("m", model, loss, recipe, folder, lambda: {"probe": 1.0})
    return model


def test_a_stopped_run_ends_where_an_unbroken_one_does(tmp_path):
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop_at=13)
    resumed = train(tmp_path / "parts")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not resumed.training


def test_the_log_has_loss_and_evaluations(tmp_path):
    train(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "m.log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == RECIPE.steps
    assert {"loss", "probe", "seconds"} <= set(rows[-1])


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match="trained with another recipe; remove it to start anew"):
        train(tmp_path, recipe=dataclasses.replace(RECIPE, steps=30))


def test_a_loss_that_is_not_finite_stops(tmp_path):
    model = module()
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        fit("m", model, lambda _: (model(torch.full((1, 3), torch.nan)).mean(), {}), RECIPE, tmp_path)


def test_the_rate_warms_up_and_decays():
    rates = [RECIPE.rate_at(step) for step in range(RECIPE.steps)]
    assert rates[0] < rates[3] == max(rates)
    assert rates[-1] < 0.2 * max(rates)


def test_the_autoencoder_trains_and_resumes(tmp_path):
    recipe = dataclasses.replace(vae.RECIPE, steps=2, batch=4, checkpoint_every=1)
    first = vae.train(tmp_path, torch.device("cpu"), recipe)
    again = vae.train(tmp_path, torch.device("cpu"), recipe)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert first.config.scaling_factor == again.config.scaling_factor > 0


def test_packing_is_the_pipelines():
    from diffusers import FluxPipeline

    latents = torch.randn(2, 8, 10, 10)
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 8, 10, 10))


def test_times_lie_between_noise_and_data():
    times = draw_times(np.random.default_rng(0), 1000)
    assert times.min() >= 0
    assert times.max() <= 1


def test_the_bundled_prompts_are_held_out_and_all_different():
    texts = prompts(64, 7_001)
    layouts = world.parse_all(texts)
    assert world.held_out(layouts).all()
    assert len(set(world.keys(layouts))) == 64


@pytest.mark.slow
@pytest.mark.parametrize("family", ["flux", "sd3", "auraflow"])
def test_from_nothing_to_a_folder_that_loads(family, tmp_path, monkeypatch):
    """Every stage for two steps: what is exported is a checkpoint like the bundled ones."""
    from harness.models import loading
    from harness.models.checkpoints.resolve import resolve
    from harness.tiny import auraflow, flow, flux, judge, sd3, text, train

    for part in (vae, text, flux, sd3, auraflow, judge):
        short = dataclasses.replace(part.RECIPE, steps=2, batch=8, evaluate_every=2, checkpoint_every=1)
        monkeypatch.setattr(part, "train", partial(part.train, recipe=short))
    monkeypatch.setattr(flow, "POOL", 64)
    monkeypatch.setattr(flow.shutil, "which", lambda _: None)  # compiling takes longer than two steps
    for target in (family, "judge"):
        train.TARGETS[target](tmp_path / "work", tmp_path / "out", torch.device("cpu"))
    checkpoint = resolve(str(tmp_path / "out" / f"{family}-tiny"))
    bundled = resolve(f"{family}-tiny")
    assert checkpoint.stacks == bundled.stacks
    assert checkpoint.settings == bundled.settings
    loaded = loading.load(checkpoint, torch.device("cpu"))
    assert loaded.scheduler.config.shift != 1
    assert OpenClipJudge(checkpoint.judge_folder, torch.device("cpu")).embed_texts(["a"]).shape == (1, 64)
    assert sorted(p.name for p in bundled.folder.rglob("*.json")) == sorted(
        p.name for p in checkpoint.folder.rglob("*.json")
    )
