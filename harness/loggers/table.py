"""The trackers that ``--dit-log`` knows: what each needs, and where it is. Loads none of them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from harness.extras import missing


class Tracker(NamedTuple):
    """The package that a tracker needs, the extra of pyproject.toml that installs it, and our module for it."""

    package: str
    extra: str
    module: str


TRACKERS = {
    "trackio": Tracker("trackio", "trackio", "harness.loggers.trackio"),
    "wandb": Tracker("wandb", "wandb", "harness.loggers.wandb"),
    "mlflow": Tracker("mlflow", "mlflow", "harness.loggers.mlflow"),
    "tensorboard": Tracker("tensorboard", "tensorboard", "harness.loggers.tensorboard"),
}


def why_not(name: str) -> str:
    """Why a tracker can't be used here; empty where it can."""
    tracker = TRACKERS[name]
    return "" if find_spec(tracker.package) else missing(f"--dit-log={name}", tracker.package, tracker.extra)
