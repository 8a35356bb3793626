"""``python -m harness power``: what is wrong is one line."""

from __future__ import annotations

import shutil

import pytest

from harness.cli.main import main
from harness.models.checkpoints.resolve import BUNDLED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flux-tiny", "--fault", "gremlins"], "unknown fault 'gremlins'; there are one-more-skipped, no-op, "),
        (["nowhere"], "'nowhere'"),
        (["flux-tiny", "--baselines", "none"], "nothing to hold flux-tiny against: there is no "),
        (["flux-tiny", "--case", "x*"], "has no case that matches x*"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys, monkeypatch, tmp_path):
    shutil.copytree(BUNDLED.parents[2] / "baselines", tmp_path / "baselines")
    monkeypatch.chdir(tmp_path)
    assert main(["power", *arguments]) == 4
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
