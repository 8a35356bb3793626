"""The harm of a healed model, measured beside its plan's."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.plan import parse
from harness.healing.harm import harms_of, measure_healed, records_of, time_healed, transformer_replaced
from harness.healing.student import Student
from harness.results.ranking import rank
from harness.surgery.export import export


@pytest.fixture(scope="module")
def measured(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("part") / "part"
    export(lab.transformer, ["double: 0 3-4"], folder)
    student = Student(type(lab.transformer), folder, torch.device("cpu"), torch.float32, lora_rank=0, seed=0)
    plans = {"double": parse("0 3-4")}
    return plans, lab.run_stacks(plans).measurement, measure_healed(lab, student.finish(torch.float32))


def test_a_student_that_was_not_trained_is_its_plan(lab, measured):
    """The no-op: bitwise the latents, so no harm comes back."""
    _, before, after = measured
    assert before.latents_sha256 == after.latents_sha256
    assert before.values["harm"] == after.values["harm"]
    harms = harms_of(before, after, lab.seed_sd)
    assert harms.recovered.value == 0
    assert harms.before.value == pytest.approx(sum(before.values["harm"]) / before.n / lab.seed_sd)
    assert harms.before.value > 1


def test_both_are_in_one_ranking(lab, measured):
    plans, before, after = measured
    records = records_of(lab, plans, before, after, run="mine")
    (ranking,) = rank(records)
    assert {row.case for row in ranking.rows} == {record.case for record in records[1:]}
    assert sorted(row.strategy.endswith("-healed") for row in ranking.rows) == [False, True]
    both = records_of(lab, {**plans, "single": parse("0-8")}, before, after)
    assert (both[1].stack, both[1].plan) == ("double+single", "double: 0 3 4; single: 0-8")


def test_the_labs_own_model_comes_back(lab):
    own = lab.transformer
    with (
        pytest.raises(ValueError, match="on purpose"),
        transformer_replaced(lab.sampler, own.__class__.__new__(type(own))),
    ):
        raise ValueError("on purpose")
    assert lab.transformer is own


def test_a_model_of_fewer_blocks_is_faster(lab):
    class OneBlock(torch.nn.Module):
        def forward(self, hidden_states, **_):
            return (hidden_states,)

    timed = time_healed(lab, OneBlock(), rounds=6)
    assert timed.value > 2
    assert timed.low <= timed.value <= timed.high
    own = time_healed(lab, lab.transformer, rounds=6)
    assert 0.5 < own.value < 2
