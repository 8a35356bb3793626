"""What trackio holds of a run, read by its own storage."""

from __future__ import annotations

import pytest

from tests.helpers.logged import EXPECTED, RUN, log_run


@pytest.fixture
def trackio(tmp_path, monkeypatch):
    """trackio reads where its database is when it is imported, which this test must be the first to do."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("TRACKIO_PROJECT", "mine")
    return pytest.importorskip("trackio", reason="pip install 'dit-ablation-harness[trackio]'")


def test_trackio_holds_the_figures_the_settings_and_the_ranking(trackio, tmp_path):
    assert log_run("trackio", tmp_path / "run") == []
    rows = trackio.SQLiteStorage.get_logs("mine", RUN)
    values = {name: value for row in rows for name, value in row.items()}
    assert EXPECTED.items() <= values.items()
    assert (tmp_path / "trackio" / "mine.db").is_file()
    assert trackio.SQLiteStorage.get_run_config("mine", RUN)["m.dtype"] == "float32"
    (stored,) = trackio.Api().runs("mine")
    assert stored.name == RUN
