"""Weights & Biases: one run with its files as an artifact; offline where WANDB_MODE says so."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from harness.loggers.base import PROJECT


class _Wandb:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, figures: Mapping[str, float], settings: Mapping[str, str]) -> None:
        self._run.config.update(dict(settings), allow_val_change=True)
        self._run.log(dict(figures))

    def finish(self, files: Sequence[Path]) -> None:
        if files:
            artifact = wandb.Artifact(f"ranking-{self._run.id}", type="ranking")
            for path in files:
                artifact.add_file(str(path))
            self._run.log_artifact(artifact)
        self._run.finish()


def open_run(run: str, folder: Path) -> _Wandb:
    """The run of that id in the project of WANDB_PROJECT; its files lie in WANDB_DIR, or else in the run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return _Wandb(
        wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run,
            id=run,
            resume="allow",
            dir=os.environ.get("WANDB_DIR", str(folder)),
            # It must neither take the terminal from pytest nor ask for a login that nobody is there to give.
            settings=wandb.Settings(console="off", silent=True, init_timeout=60),
        )
    )
