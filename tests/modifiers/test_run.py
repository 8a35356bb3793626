"""Images under modifiers through a lab: bitwise what is expected, measured like a plan, and failures by name."""

from __future__ import annotations

import pytest

from harness.ablation.plan import parse
from harness.errors import CaseError, SurgeryError
from tests.helpers.needs import needs


def test_a_lab_measures_modifiers_alone_and_on_a_plan(lab):
    control = lab.control.seeds[0].latents_sha256
    same, _ = lab.run(modifiers="single-L02-07-reuse.n1+fewer-steps.4")
    assert same.latents_sha256 == control
    assert same.summary["harm"] == 0
    fewer, _ = lab.run(modifiers="fewer-steps.1")
    assert fewer.summary["harm"] > 0
    both, _ = lab.run(parse("0 2-4"), "double", modifiers="fewer-steps.1")
    plan, _ = lab.run(parse("0 2-4"), "double")
    assert len({both.latents_sha256, plan.latents_sha256, fewer.latents_sha256, control}) == 4
    some, _ = lab.run(modifiers="fewer-steps.1", indices=[1, 3])
    assert some.values["harm"] == pytest.approx([fewer.values["harm"][i] for i in (1, 3)], abs=1e-3)


def test_what_doesnt_fit_is_named_before_anything_runs(lab):
    for text, message in (
        ("reuse.n2", "has its range"),
        ("double-L07-reuse.n2", r"stack 'double' has 5 blocks \(0-4\)"),
        ("fewer-steps.5", "takes 4 denoising steps, no more"),
    ):
        with pytest.raises(CaseError, match=message):
            lab.run(modifiers=text)
    with pytest.raises(CaseError, match="a window of steps is written at each modifier"):
        lab.run(parse("0 2-4"), "double", (0, 1), modifiers="fewer-steps.3")


@needs("diffusers.hooks.FirstBlockCacheConfig")
def test_a_pipeline_that_fails_under_a_modifier_on_a_plan_is_named(lab):
    control = lab.control.seeds[0].latents_sha256
    with pytest.raises(SurgeryError, match=r"the pipeline fails under first-block-cache\.t500 on a plan: "):
        lab.run(parse("1-4"), "double", modifiers="first-block-cache.t500")
    assert lab.sampler.sample(lab.prompts, 0).sha256() == control
