"""Training, from nothing to a folder that loads."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from harness.metrics.judge import OpenClipJudge
from harness.tiny import vae
from harness.tiny.fit import Recipe, fit

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
