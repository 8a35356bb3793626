"""What is lost by task, and whether order matters more for some tasks, against plain arithmetic and planted answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.results.by_task import order_tables, task_tables
from harness.results.figure_table import ATTRIBUTES
from harness.results.records import Measurement, Record
from harness.results.statistics import mean_interval
from tests.helpers.records import FINGERPRINT, PROMPTS, quality
from tests.helpers.tasks import control, noise, variant


def test_attributes_have_their_mean_losses_and_intervals():
    lost = noise(0.3, 1)
    (table,) = task_tables([variant("skip", {"colour": lost})], "m")
    assert (table.kind, table.tasks, table.prompts) == ("attribute", ATTRIBUTES, (PROMPTS,) * len(ATTRIBUTES))
    (row,) = table.rows
    assert row.case == "m-s-L01-03-skip"
    assert row.losses[table.tasks.index("colour")] == mean_interval(lost)
    assert row.losses[table.tasks.index("shape")].value == 0


def test_categories_are_read_off_the_control_s_record():
    record = quality("skip", 0.5)
    harms = np.array(record.measurement.values["harm"])
    names = ["counting"] * 6 + ["people"] * 10
    (table,) = task_tables([record, control(names)], "m")
    assert (table.kind, table.tasks, table.prompts) == ("prompt category", ("counting", "people"), (6, 10))
    assert table.rows[0].losses == (mean_interval(harms[:6]), mean_interval(harms[6:]))
    assert task_tables([record], "m") == []
    assert task_tables([record, control([""] * PROMPTS)], "m") == []
    assert task_tables([record, control(names)], "another") == []


def test_a_planted_effect_of_order_is_found_and_only_there():
    """Order costs relation half of what skipping does, and everything else a fifth."""
    share = {name: 0.5 if name == "relation" else 0.2 for name in ATTRIBUTES}
    skip = {name: noise(0.4, i) for i, name in enumerate(ATTRIBUTES)}
    wrong = {name: share[name] * skip[name] + noise(0, 50 + i, 0.01) for i, name in enumerate(ATTRIBUTES)}
    records = [variant("skip", skip), variant("reverse", wrong), variant("shuffle.s1", wrong)]
    (table,) = order_tables(records, "m")
    assert (table.reference, table.ranges) == ("colour", ("s-L01-03",))
    for effect in table.effects:
        assert effect.share.value == pytest.approx(share[effect.task], abs=1e-6)
        assert effect.share.low < share[effect.task] < effect.share.high
        if effect.task == "colour":
            assert effect.more is effect.more_share is None
            continue
        assert (effect.more_share.low > 0.2) == (effect.task == "relation")
        assert (effect.more_share.low < 0 < effect.more_share.high) == (effect.task != "relation")
        assert effect.more == mean_interval(np.subtract(wrong[effect.task], wrong["colour"]))


def test_what_skips_more_isn_t_what_order_matters_more_for():
    """A missing object makes a count wrong as a whole and a colour by half, whatever was done to the layers."""
    missing = noise(0.3, 3)
    losses = {"count": missing, "colour": missing / 2}
    records = [variant("skip", losses), variant("reverse", {name: 0.4 * loss for name, loss in losses.items()})]
    (table,) = order_tables(records, "m")
    count = next(effect for effect in table.effects if effect.task == "count")
    assert count.more.low > 0
    assert count.more_share.value == pytest.approx(0)
    assert count.more_share.high < 0.01


def test_ranges_without_both_are_left_out():
    zero = {"colour": noise(0.2, 4)}
    assert order_tables([variant("skip", zero), variant("reverse", zero, place="L04-05")], "m") == []
    windowed = replace(variant("reverse", zero), window=(0, 1), case="m-s-L01-03-reverse-steps-0-1")
    assert order_tables([variant("skip", zero), windowed], "m") == []
    both = [variant(strategy, zero, place) for strategy in ("skip", "reverse") for place in ("L01-03", "L04-05")]
    (table,) = order_tables([*both, variant("parallel", zero)], "m")
    assert table.ranges == ("s-L01-03", "s-L04-05")


def test_categories_have_prompts_of_their_own():
    records = [quality("skip", 4.0, spread=1.0), quality("reverse", 1.0, spread=1.0)]
    names = ["attribute binding"] * 8 + ["spatial relation"] * 8
    (table,) = order_tables([*records, control(names)], "m")
    binding, relation = table.effects
    harms = [np.array(record.measurement.values["harm"]) for record in records]
    assert relation.order == mean_interval(harms[1][8:])
    assert relation.share.value == pytest.approx(harms[1][8:].mean() / harms[0][8:].mean())
    # Of other prompts: Welch's error.
    gap = harms[1][8:].mean() - harms[1][:8].mean()
    error = np.sqrt(sum(part.var(ddof=1) / 8 for part in (harms[1][:8], harms[1][8:])))
    assert relation.more.value == pytest.approx(gap)
    assert relation.more.high - gap == pytest.approx(2.364624 * error, rel=1e-4)
    assert binding.more is None


def test_shares_cover_what_they_say():
    """Over 300 draws of ratios of two noisy means, nominal 95 %."""
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(300):
        skip = rng.gamma(2, 0.2, PROMPTS)
        order = 0.25 * skip + rng.normal(0, 0.05, PROMPTS)
        records = [variant("skip", {"relation": skip}), variant("reverse", {"relation": order})]
        (table,) = order_tables(records, "m")
        share = next(effect.share for effect in table.effects if effect.task == "relation")
        held += share.low <= 0.25 <= share.high
    assert 0.91 <= held / 300 <= 0.985


def test_prompt_categories_without_harm_make_no_table():
    record = quality("skip", 0.5)
    scores = Measurement(16, 16, {}, {}, texts=("p",) * 16, categories=("a", "b") * 8)
    nothing = replace(record, measurement=replace(record.measurement, values={}))
    assert task_tables([Record.of_control(FINGERPRINT, record.verdict, scores), nothing], "m") == []
