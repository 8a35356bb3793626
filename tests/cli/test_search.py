"""The command search, on a bundled model: what it prints leads on, and what can't be is one line."""

from __future__ import annotations

import csv

import pytest

from harness.ablation.plan import parse
from harness.cli.main import main

FEW = ["--take-prompts", "1", "--take-steps", "1", "--confirm", "2"]


def test_the_best_sets_are_run_on_images_and_ranked_by_harm(tmp_path, capsys):
    table = tmp_path / "t.csv"
    options = ["--remove", "2", "--selector", "greedy", "--evaluations", "40", "--csv", str(table), *FEW]
    assert main(["search", "flux-tiny", *options]) == 0
    text = capsys.readouterr().out
    assert (
        "flux-tiny: the best of 29 sets of blocks that save 2 blocks, by greedy at the cost of 29 evaluations" in text
    )
    assert "save it:  python -m harness export --checkpoint flux-tiny --plan '" in text
    first, second = csv.DictReader(table.open())
    assert float(first["harm"]) <= float(second["harm"])
    assert float(first["harm_low"]) <= float(first["harm"]) <= float(first["harm_high"])
    gone = 0
    for part in first["plan"].split("; "):
        stack, _, plan = part.partition(": ")
        gone += {"double": 5, "single": 10}[stack] - len(list(parse(plan).blocks()))
    assert gone == float(first["saved"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--remove", "16"], "no plan saves 16: leaving out all 15 blocks saves 15"),
        (["--params", "0.01"], "no plan saves 0.99: leaving out all 15 blocks saves "),
        (["--remove", "3", "--evaluations", "5", *FEW], "5 evaluations are too few for the selector 'evolution' on 15"),
    ],
)
def test_what_can_not_be_found_is_one_line(options, message, capsys):
    assert main(["search", "flux-tiny", *options]) == 4
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--speedup=1", "--speedup=x", "--params=1", "--params=nan", "--remove=0"])
def test_a_goal_that_is_none_is_refused_by_the_command_line(option):
    with pytest.raises(SystemExit) as stopped:
        main(["search", "flux-tiny", option])
    assert stopped.value.code == 2
