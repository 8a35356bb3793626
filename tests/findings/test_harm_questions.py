"""Variants that claims compare."""

from __future__ import annotations

import pytest

from harness.ablation.ranges import Span
from harness.errors import CaseError
from harness.findings.harm_questions import ablated, looped, rivals
from tests.helpers.studies import Made


def test_a_variant_is_one_range():
    made = Made("flux")
    assert str(ablated(made, "double", "middle", "parallel")) == "parallel double 1-4"
    with pytest.raises(CaseError, match="flux-made has no stack 'joint'; it has double, single"):
        ablated(made, "joint", "middle", "skip")
    with pytest.raises(CaseError, match="'each' is 6 ranges of stack 'double'"):
        ablated(made, "double", "each", "skip")
    assert [v.strategy for v in looped(made, "double", "3-5")] == ["parallel.t3"]


def test_a_stack_may_be_called_as_diffusers_calls_it(flux_study):
    variant = ablated(flux_study, "single_transformer_blocks", "2", "skip")
    assert variant == ablated(flux_study, "single", "2", "skip")
    assert variant.stack == "single"


def test_strategies_that_do_the_same_are_compared_once():
    made = Made("flux")
    named = [v.strategy for v in rivals(made, "double", Span(1, 2), "skip")]
    assert named == ["repeat", "reverse", "parallel", "parallel.t3", "parallel-sum", "parallel-root"]
    assert "reverse" not in [v.strategy for v in rivals(made, "double", Span(1, 2), "swap")]
