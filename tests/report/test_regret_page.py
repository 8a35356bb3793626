"""The tables of docs/search.md are those of what is stored in docs/search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.report.regret_page import (
    PAGE,
    REGRETS,
    SEEDS,
    budget,
    filled,
    measure,
    pair_table,
    read_regrets,
    regret_table,
    tables,
    write_regrets,
)
from harness.search.regret import regret_of
from harness.search.selectors import SELECTORS, WITHOUT_CHANCE
from harness.search.truth import FOLDER, read_truth
from tests.helpers.truths import table

ROOT = Path(__file__).parents[2]


def test_every_selector_has_a_row_and_the_wrongly_ordered_pair_is_shown(tmp_path):
    pytest.importorskip("pymoo", reason="an extra")
    truth = table({"double": 2, "single": 4})
    stored = measure([truth], seeds=(0, 1))
    write_regrets(stored, tmp_path / "r.json")
    assert read_regrets(tmp_path / "r.json") == stored
    lines = regret_table(stored)
    assert [line.split(" | ")[1] for line in lines[2:]] == list(SELECTORS)
    better, worse = (line.strip("| ").split(" | ") for line in pair_table([truth])[-2:])
    assert float(better[2]) > float(worse[2])
    assert float(better[3]) < float(worse[3])


def test_a_selector_that_misses_the_target_says_so():
    stored = read_regrets(ROOT / FOLDER / REGRETS)
    measured = stored.models["flux-tiny"]
    worse = tuple(
        replace(each, regret=tuple(value + 0.03 for value in each.regret))
        if each.selector == "evolution" and each.size in (3, 5)
        else each
        for each in measured
    )
    lines = regret_table(replace(stored, models={"flux-tiny": worse}))
    (row,) = [line.strip("| ").split(" | ") for line in lines if "| evolution |" in line]
    assert row[3] == "3, 5"
    assert row[4] == "3, 5"


def test_the_page_holds_what_the_stored_tables_give():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert filled(text, tables(ROOT / FOLDER)) == text
    with pytest.raises(ValueError, match="the page lacks"):
        filled(text, {"other": []})


@pytest.mark.parametrize("model", ["flux-tiny", "auraflow-tiny", "sd3-tiny"])
def test_stored_regrets_are_those_of_the_stored_truth(model):
    stored = read_regrets(ROOT / FOLDER / REGRETS)
    truth = read_truth(ROOT / FOLDER / f"{model}.safetensors")
    assert stored.seeds == SEEDS
    of = {(each.selector, each.size): each for each in stored.models[model]}
    assert of.keys() == {(name, size) for name in SELECTORS for size in range(1, truth.blocks.count)}
    for (name, size), each in of.items():
        assert max(each.cost) <= budget(truth)
        if name in WITHOUT_CHANCE or (name == "evolution" and size == 4):
            again = regret_of(truth, SELECTORS[name], size, budget(truth), SEEDS[0])
            assert again == pytest.approx((each.regret[0], each.cost[0]), abs=1e-9)


@pytest.mark.parametrize("model", ["flux-tiny", "auraflow-tiny", "sd3-tiny"])
def test_the_default_selector_keeps_to_what_is_asked_of_it(model):
    stored = read_regrets(ROOT / FOLDER / REGRETS).models[model]
    evolution = [each for each in stored if each.selector == "evolution"]
    greedy = {each.size: each for each in stored if each.selector == "greedy"}
    assert all(each.median <= 0.02 for each in evolution)
    assert all(each.median <= greedy[each.size].median + 1e-12 for each in evolution)
    gain = np.mean([np.subtract(each.random, each.regret) for each in evolution], axis=0)
    assert gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain))
