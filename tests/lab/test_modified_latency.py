"""Whole images under modifiers take turns with the control's, and plans are timed on single forwards as ever."""

from __future__ import annotations

import pytest

from harness.ablation.case import by_hand, modifiers_alone
from harness.ablation.modifiers import read_modifiers
from harness.lab.latency import WARM_UP
from harness.lab.modified_latency import ImagePairs, measure_case_latency
from tests.helpers.needs import needs


def case_of(lab, text):
    return modifiers_alone(
        "flux-tiny", lab.checkpoint.stacks, read_modifiers(text), steps=lab.checkpoint.settings.steps
    )


def test_control_and_variant_take_turns_on_whole_images(lab):
    log = []
    hook = lab.transformer.register_forward_pre_hook(lambda *_: log.append(lab.sampler.settings.steps))
    try:
        with ImagePairs(lab, case_of(lab, "fewer-steps.1")) as pairs:
            for _ in range(2):
                pairs.before_variant()
                pairs.forward()
                pairs.after_variant()
    finally:
        hook.remove()
    assert log == [4, 4, 4, 4, 1, 1, 4, 4, 4, 4]
    assert len(pairs.control) == len(pairs.variant) == 2
    assert max(pairs.variant) < min(pairs.control)


def test_a_variants_seconds_are_of_all_its_forwards_over_the_controls(lab):
    latency = measure_case_latency(lab, case_of(lab, "fewer-steps.1"), rounds=4)
    assert len(latency.control) == len(latency.variant) == 6
    assert latency.theory == pytest.approx(4)
    assert latency.ratio > 1.5
    assert latency.low <= latency.ratio <= latency.high


@needs("diffusers.hooks.FirstBlockCacheConfig")
def test_what_can_only_be_counted_is_counted(lab):
    latency = measure_case_latency(lab, case_of(lab, "first-block-cache.t9000"), rounds=4)
    assert latency.theory > 1.5


def test_a_plan_alone_is_timed_on_forwards(lab):
    latency = measure_case_latency(lab, by_hand("flux-tiny", lab.checkpoint.stacks, "double: 0 2-4"), rounds=4)
    assert len(latency.variant) == 4
    assert WARM_UP == 1
