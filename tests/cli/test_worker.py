"""The command of one worker: it measures its part, and refuses what is no work file by one line."""

from __future__ import annotations

import json

import pytest

from harness.cli.main import main
from harness.results.journal import read
from harness.workers.store import Store
from tests.helpers.works import work


def test_a_worker_measures_its_part(tmp_path, capsys):
    file, run = tmp_path / "w.json", tmp_path / "r"
    file.write_text(work().to_text())
    assert main(["worker", str(file), "--run", str(run), "--part", "2/2"]) == 0
    assert "flux-tiny-random-small-double-L03-skip: measured (2 of 2)" in capsys.readouterr().out
    assert len(Store(run).names("records")) == 3
    assert main(["merge", str(run), "--out", str(tmp_path / "whole")]) == 4
    assert "3 of 5 cases have no record yet" in capsys.readouterr().err
    assert main(["worker", str(run / "work.json"), "--run", str(run)]) == 0
    assert "L01-skip: was measured before (2 of 5)" in capsys.readouterr().out
    assert main(["merge", str(run), "--out", str(tmp_path / "whole")]) == 0
    assert len(read(tmp_path / "whole")) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "it has version '2', and this harness reads work files of version 1"),
        ({"x": 1}, "x is unknown"),
    ],
)
def test_what_is_no_work_file_is_refused(change, message, tmp_path, capsys):
    file = tmp_path / "w.json"
    file.write_text(json.dumps(json.loads(work().to_text()) | change))
    assert main(["worker", str(file), "--run", str(tmp_path / "r")]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {file}: {message}")
    assert not (tmp_path / "r").exists()


def test_a_part_is_checked(capsys):
    for part in ("0/4", "5/4", "2/x"):
        with pytest.raises(SystemExit):
            main(["worker", "w.json", "--run", "r", "--part", part])
        assert f"argument --part: '{part}': takes I/N" in capsys.readouterr().err
