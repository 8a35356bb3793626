"""The command search, on a bundled model: what it prints leads on, and what can't be is one line."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import pytest

from harness.ablation.plan import parse
from harness.cli import search
from harness.cli.main import main
from harness.search import nsga2
from harness.search.journal import MeasuredOn, open_journal
from tests.helpers.records import quality

FEW = ["--take-prompts", "1", "--take-steps", "1", "--confirm", "2", "--front", "1"]


def test_the_best_sets_are_run_on_images_and_ranked_by_harm(tmp_path, capsys):
    table = tmp_path / "t.csv"
    options = ["--remove", "2", "--selector", "greedy", "--evaluations", "40", "--csv", str(table), *FEW]
    assert main(["search", "flux-tiny", *options]) == 0
    text = capsys.readouterr().out
    assert (
        "flux-tiny: the best of 29 sets of blocks that save 2 blocks, by greedy at the cost of 29 evaluations" in text
    )
    assert "save it:  python -m harness export --checkpoint flux-tiny --plan '" in text
    first, second, *smaller = csv.DictReader(table.open())
    assert [float(row["saved"]) for row in smaller] == [1.0]
    assert {row["asked"] for row in smaller} == {"False"}
    assert float(first["harm"]) <= float(second["harm"])
    assert float(first["harm_low"]) <= float(first["harm"]) <= float(first["harm_high"])
    gone = 0
    for part in first["plan"].split("; "):
        stack, _, plan = part.partition(": ")
        gone += {"double": 5, "single": 10}[stack] - len(list(parse(plan).blocks()))
    assert gone == float(first["saved"]) == 2


def test_plans_of_a_strategy_stand_in_the_same_table(tmp_path, capsys):
    options = ["--params", "0.7", "--strategies", "repeat", "--selector", "one-shot", "--confirm", "1", "--front", "0"]
    assert main(["search", "flux-tiny", *options, *FEW[:4], "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"the best of \d+ sets of blocks and of \d+ plans of repeat on a range that save 0.3 of the", text)
    rows = {row["strategy"]: row for row in csv.DictReader((tmp_path / "front.csv").open())}
    assert set(rows) == {"skip", "repeat"}
    assert "runs" in rows["repeat"]["not_exported"]
    assert not rows["repeat"]["export"]
    assert rows["skip"]["export"]
    assert not rows["skip"]["not_exported"]
    assert f"--dit-plan '{rows['repeat']['plan']}'" in rows["repeat"]["test"]
    for row in rows.values():
        assert float(row["saved"]) >= 0.3 - 1e-9
        assert float(row["harm_low"]) <= float(row["harm"]) <= float(row["harm_high"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--params", "0.01"], "no plan saves 0.99: leaving out all 15 blocks saves "),
        (
            ["--params", "0.2", "--strategies", "repeat"],
            "strategy 'repeat' saves 0.8 of the parameters on no range, at most ",
        ),
        (["--remove", "3", "--evaluations", "5", *FEW], "5 evaluations are too few for the selector 'evolution' on 15"),
    ],
)
def test_what_can_not_be_found_is_one_line(options, message, capsys):
    assert main(["search", "flux-tiny", *options]) == 4
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--remove", "2", "--strategies", "parallel"],
            "'parallel' saves no block runs on any range; of all strategies, skip do",
        ),
        (["--params", "0.8", "--strategies", "repeat,x"], "unknown strategy 'x'"),
        (["--params", "0.8", "--strategies", "repeat.t2"], "strategy 'repeat' has no parameter 't2'"),
        (["--params", "0.8", "--strategies", ","], "--strategies names none"),
        (["--remove", "16"], "no plan saves 16 blocks: flux-tiny has 15"),
        (["--remove", "3", "--csv", "{folder}"], "it is a folder"),
        (["--remove", "3", "--out", "{folder}/file"], "is no folder"),
        (["--remove", "3", "--out", "{folder}/other"], "measured differently: taken steps 0 -> 1 3"),
    ],
)
def test_what_can_not_be_done_is_said_before_the_model_is_loaded(options, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(search, "Lab", None)
    (tmp_path / "file").write_text("")
    fingerprint = replace(quality("skip", 1.0).fingerprint, checkpoint="flux-tiny")
    open_journal(tmp_path / "other" / "search.jsonl", MeasuredOn(fingerprint, (8, 24, 40, 56), (0,)))
    assert main(["search", "flux-tiny", *(word.format(folder=tmp_path) for word in options)]) == 4
    assert message in capsys.readouterr().err


def test_without_pymoo_its_selector_is_refused_before_the_model_is_loaded(capsys, monkeypatch):
    monkeypatch.setattr(search, "Lab", None)
    monkeypatch.setattr(nsga2, "find_spec", lambda _: None)
    assert main(["search", "flux-tiny", "--remove", "3", "--selector", "nsga2"]) == 4
    assert "[search]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", ["--speedup=1", "--speedup=x", "--params=1", "--params=-0.1", "--params=nan", "--remove=0"]
)
def test_a_goal_that_is_none_is_refused_by_the_command_line(option):
    with pytest.raises(SystemExit) as stopped:
        main(["search", "flux-tiny", option])
    assert stopped.value.code == 2
