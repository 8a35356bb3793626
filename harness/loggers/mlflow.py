"""MLflow: one run in an experiment, with the files as artifacts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from harness.loggers.base import PROJECT

_TAG = "dit.run"
_LONGEST_NAME, _LONGEST_VALUE = 250, 500  # characters
_BATCH = 100  # parameters of one request


class _Mlflow:
    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client, self._id = client, run_id
        self._settings: dict[str, str] = {}

    def log(self, figures: Mapping[str, float], settings: Mapping[str, str]) -> None:
        metrics = [Metric(_name(name), value, 0, 0) for name, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)
        # A parameter can't be changed: what a second record of the checkpoint says otherwise is in the journal.
        new = {_name(name): value for name, value in settings.items() if _name(name) not in self._settings}
        params = [Param(name, value[:_LONGEST_VALUE]) for name, value in new.items()]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(self._id, params=params[start : start + _BATCH])
        self._settings |= new

    def finish(self, files: Sequence[Path]) -> None:
        for path in files:
            self._client.log_artifact(self._id, str(path))
        self._client.set_terminated(self._id)


def _name(name: str) -> str:
    """A name as MLflow takes it, which knows no other signs."""
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)[:_LONGEST_NAME]


def open_run(run: str, folder: Path) -> _Mlflow:  # noqa: ARG001 - MLflow keeps all runs at MLFLOW_TRACKING_URI
    """The run of that name in the experiment of MLFLOW_EXPERIMENT_NAME; a resumed run goes on with its own."""
    client = MlflowClient()
    wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    there = client.get_experiment_by_name(wanted)
    experiment = there.experiment_id if there is not None else client.create_experiment(wanted)
    earlier = client.search_runs([experiment], filter_string=f"tags.`{_TAG}` = '{run}'", max_results=1)
    if earlier:
        return _Mlflow(client, earlier[0].info.run_id)
    return _Mlflow(client, client.create_run(experiment, run_name=run, tags={_TAG: run}).info.run_id)
