"""What MLflow holds of a run in a database of this machine, read by its own client."""

from __future__ import annotations

import pytest

from tests.helpers.logged import EXPECTED, RUN, log_run

pytest.importorskip("mlflow", reason="pip install 'dit-ablation-harness[mlflow]'")
pytest.importorskip("sqlalchemy", reason="pip install 'dit-ablation-harness[mlflow]'")


def test_mlflow_holds_the_figures_the_settings_and_the_ranking_and_a_resumed_run_goes_on(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    for _ in range(2):  # the second as after --dit-resume
        assert log_run("mlflow", tmp_path / RUN) == []
    client = MlflowClient()
    experiment = client.get_experiment_by_name("mine").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_name == RUN
    assert run.info.status == "FINISHED"
    assert {name.replace("+", "_"): value for name, value in EXPECTED.items()}.items() <= run.data.metrics.items()
    assert run.data.params["m.dtype"] == "float32"
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["ranking.md"]
