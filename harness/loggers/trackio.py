"""trackio: one run in a project of its local database, with the files as an artifact."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trackio

from harness.loggers.base import PROJECT


class _Trackio:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, figures: Mapping[str, float], settings: Mapping[str, str]) -> None:
        self._run.config.update(settings)
        self._run.log(dict(figures))

    def finish(self, files: Sequence[Path]) -> None:
        if files:
            artifact = trackio.Artifact(name=f"ranking-{self._run.name}", type="ranking")
            for path in files:
                artifact.add_file(str(path))
            self._run.log_artifact(artifact)
        self._run.finish()


def open_run(run: str, folder: Path) -> _Trackio:  # noqa: ARG001 - trackio keeps all runs in one place, TRACKIO_DIR
    """The run of that name in the project of TRACKIO_PROJECT."""
    project = os.environ.get("TRACKIO_PROJECT", PROJECT)
    return _Trackio(
        trackio.init(project=project, name=run, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    )
