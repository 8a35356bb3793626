"""``python -m harness screen``."""

from __future__ import annotations

import csv
from pathlib import Path

from harness.cli.main import main

STORED = str(Path(__file__).parents[2] / "baselines")


def test_a_screening_of_a_bundled_model(tmp_path, capsys):
    table = tmp_path / "screen.csv"
    arguments = ["screen", "sd3-tiny", "--take-prompts", "4", "--take-steps", "2", "--baselines", STORED]
    assert main([*arguments, "--plan", "joint: 0-2 9-11", "--csv", str(table)]) == 0
    printed = capsys.readouterr().out
    assert "sd3-tiny: velocity errors of 13 plans, 4 prompts, 2 of " in printed
    assert "rank correlation with the stored harms: " in printed
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [int(row["rank"]) for row in rows] == list(range(1, 14))
    errors = [float(row["error"]) for row in rows]
    assert errors == sorted(errors)
    assert rows[-1]["plan"] == "joint: 0-2 9-11"  # half of the model
    assert rows[-1]["share"] == "0.50"
    assert all(float(row["low"]) <= float(row["error"]) <= float(row["high"]) for row in rows)


def test_wrong_input_is_one_line_before_the_model_is_loaded(tmp_path, capsys):
    for arguments, said in (
        (["flux-tiny", "--plan", "double: 0 9"], "block 9 is out of range"),
        (["flux-tiny", "--plan", "0 1"], "names no stack"),
        (["flux-tiny", "--prompts", str(tmp_path / "none.txt")], "can't read the prompt file"),
    ):
        assert main(["screen", *arguments]) == 4
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
