"""The trackers that there are, and what is said of one whose package is missing."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from harness.loggers import table

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("name", table.TRACKERS)
def test_each_tracker_has_an_extra_with_its_package_and_a_module(name):
    tracker = table.TRACKERS[name]
    assert any(requirement.startswith(tracker.package) for requirement in EXTRAS[tracker.extra])
    assert importlib.util.find_spec(tracker.module) is not None


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(table.TRACKERS, "wandb", table.Tracker("no_such_package", "wandb", "harness.loggers.wandb"))
    assert table.why_not("wandb") == (
        "--dit-log=wandb needs the package no_such_package, which is not installed; run: "
        "pip install 'dit-ablation-harness[wandb]'"
    )
    assert table.why_not("tensorboard") == ""
