"""Which contenders are measured, and that what each saves is what its blocks and steps say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.results.matched_compute import FEWER_STEPS, PLAN, REUSE
from harness.search.rivals import measure_rivals

STACKS = {"double": 4, "single": 6}


class FakeLab:
    """Blocks of which 0 matters most, and harms that add up."""

    checkpoint = SimpleNamespace(stacks=STACKS, settings=SimpleNamespace(steps=4))

    def _run(self, harm):
        values = {"harm": [2 * (harm + i) for i in range(4)]}
        return SimpleNamespace(measurement=SimpleNamespace(values=values, prompts=4, summary={"seed_sd": 2.0}))

    def run_stacks(self, plans):
        gone = {stack: set(range(STACKS[stack])) - set(plan.blocks()) for stack, plan in plans.items()}
        weights = {("double", 0): 50.0, ("single", 5): -1.0, ("double", 3): -1.0}
        return self._run(sum(weights.get((stack, block), 1.0) for stack, blocks in gone.items() for block in blocks))

    def run(self, modifiers):
        return self._run(len(modifiers))


def test_ranges_singles_reuse_and_fewer_steps_are_measured():
    lines = []
    contenders = measure_rivals(FakeLab(), (1.2, 2.0), lines.append)
    assert [c.name for c in contenders] == list(dict.fromkeys(lines))  # each once
    plans = {c.name: c for c in contenders if c.kind == PLAN}
    assert len(plans) == 10 + (3 + 5 + 1) + (2 + 1)  # singles; two of ten; five of ten, only in the single stack
    assert plans["double: 0-2; single: 0-4"].speed_up == pytest.approx(10 / 8)  # the two least harmful together
    assert plans["double: 0-2; single: 0-4"].harms == (-2, -1, 0, 1)
    steps = {c.name: c.speed_up for c in contenders if c.kind == FEWER_STEPS}
    assert steps == {"fewer-steps.1": 4, "fewer-steps.2": 2, "fewer-steps.3": pytest.approx(4 / 3)}
    reuse = {c.name: c.speed_up for c in contenders if c.kind == REUSE}
    assert len(reuse) == (2 + 2 + 1) * 3
    assert reuse["double-L00-03-reuse.n2+single-L00-05-reuse.n2"] == pytest.approx(2)
    assert reuse["single-L01-04-reuse.n4"] == pytest.approx(1 / (1 - 4 / 10 * 3 / 4))
