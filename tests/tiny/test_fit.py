"""Training is resumable and seeded: a run that was stopped ends bitwise where an unbroken one does."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

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
