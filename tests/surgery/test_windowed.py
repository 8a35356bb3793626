"""Windows of denoising steps: in ids and cases, and on the pipelines, where the plan holds in them alone."""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import pairwise

import pytest
import torch

from harness.ablation.plan import identity
from harness.errors import SurgeryError
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.surgery.trace import traced
from harness.surgery.view import BlockView, ablate
from harness.surgery.windowed import in_window
from harness.tiny import render
from tests.helpers import models
from tests.helpers.models import SPECS

PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross", "a large blue square"]
STEPS = 4
RUNS = {"flux": {}, "flux-true": {}, "sd3": {"guidance": 2.5}, "auraflow": {"guidance": 2.5}, "sd3-unguided": {}}
PLANS = {"flux": ("single", "0 (1|2)x2 3-9"), "sd3": ("joint", "0 3 1-2 5-11"), "auraflow": ("double", "0 2")}


class TrueCfg(Sampler):
    """FLUX's true guidance: two forwards a step."""

    def conditions(self, prompts):
        found, other = (super(TrueCfg, self).conditions(p) for p in (prompts, [PROMPTS[-1]] * len(prompts)))
        return {**found, **{f"negative_{name}": value for name, value in other.items()}}

    def _call(self, given, **more):
        return super()._call({**given, "true_cfg_scale": 2.0}, **more)


@pytest.fixture(params=sorted(RUNS))
def sampler(request, pipelines):
    family = request.param.split("-")[0]
    settings = Settings(steps=STEPS, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    kind = TrueCfg if request.param == "flux-true" else Sampler
    return kind(pipelines[family], SPECS[family], dataclasses.replace(settings, **RUNS[request.param]), batch=2)


def latents(sampler, window):
    stack, plan = PLANS[sampler.family.name]
    with in_window(sampler.transformer, plan, stack, window) as stepping:
        made = sampler.sample(PROMPTS, 0, between=stepping).latents
    assert stepping.check(STEPS) == 2 * STEPS  # two batches, each from its own first step
    return made


def reference(sampler, window):
    """The view toggled around every single forward, by how many steps the scheduler has taken."""
    stack, plan = PLANS[sampler.family.name]
    transformer, scheduler = sampler.transformer, sampler.pipeline.scheduler
    forward, step = transformer.forward, scheduler.step
    taken, forwards = 0, 0

    def counted(*args, **kwargs):
        nonlocal taken
        taken += 1
        return step(*args, **kwargs)

    def toggled(*args, **kwargs):
        nonlocal forwards
        forwards += 1
        if window[0] <= taken % STEPS <= window[1]:
            with ablate(transformer, plan, stack):
                return forward(*args, **kwargs)
        return forward(*args, **kwargs)

    transformer.forward, scheduler.step = toggled, counted
    try:
        made = sampler.sample(PROMPTS, 0).latents
    finally:
        del transformer.forward, scheduler.step
    assert taken == 2 * STEPS
    assert forwards == taken * (2 if isinstance(sampler, TrueCfg) else 1)
    return made


def test_a_window_is_bitwise_the_view_toggled_by_hand(sampler):
    found = {}
    for window in ((0, 0), (0, 2), (1, 2), (3, 3), (1, 3)):
        found[window] = latents(sampler, window)
        assert torch.equal(found[window], reference(sampler, window)), window
    found[0, STEPS - 1] = latents(sampler, (0, STEPS - 1))
    plan, stack = PLANS[sampler.family.name][::-1]
    with ablate(sampler.transformer, plan, stack):
        assert torch.equal(found[0, STEPS - 1], sampler.sample(PROMPTS, 0).latents)
    found[None] = sampler.sample(PROMPTS, 0).latents
    for a, b in pairwise(found.values()):
        assert not torch.equal(a, b)


def test_parts_of_blocks_hold_in_a_window_alone(sampler, monkeypatch):
    stack, _ = PLANS[sampler.family.name]
    length = len(models.blocks(sampler.transformer, stack))
    monkeypatch.setitem(PLANS, sampler.family.name, (stack, f"0 1.ff 2*0.5 3-{length - 1}"))
    made = latents(sampler, (1, 2))
    assert torch.equal(made, reference(sampler, (1, 2)))
    assert not torch.equal(made, sampler.sample(PROMPTS, 0).latents)


def test_complementary_windows_share_their_steps(sampler):
    """Up to where the later window begins, its run is the control's; so are the first steps' latents."""
    seen: dict[str, list[torch.Tensor]] = {"control": [], "late": []}
    stack, plan = PLANS[sampler.family.name]
    scheduler = sampler.pipeline.scheduler
    step = scheduler.step

    def watch(kept):
        def stepped(*args, **kwargs):
            out = step(*args, **kwargs)
            kept.append(out[0].clone())
            return out

        return stepped

    try:
        scheduler.step = watch(seen["control"])
        sampler.sample(PROMPTS[:2], 0)
        scheduler.step = watch(seen["late"])
        with in_window(sampler.transformer, plan, stack, (2, 3)) as stepping:
            sampler.sample(PROMPTS[:2], 0, between=stepping)
    finally:
        del scheduler.step
    same = [torch.equal(a, b) for a, b in zip(seen["control"], seen["late"], strict=True)]
    assert same == [True, True, False, False]


def test_a_failure_in_the_middle_leaves_the_model_as_it_was(sampler):
    stack, plan = PLANS[sampler.family.name]

    def stopped(stepping, step):
        stepping(step)
        if step == 2:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        in_window(sampler.transformer, plan, stack, (1, 3)) as stepping,
    ):
        sampler.sample(PROMPTS, 0, between=partial(stopped, stepping))
    assert not any(isinstance(module, BlockView) for module in sampler.transformer.children())
    with traced(sampler.transformer, stack) as ran:
        sampler.sample(PROMPTS[:1], 0)
    length = len(set(ran))
    assert ran[:length] == list(identity(length).blocks())


@pytest.fixture(scope="module")
def small():
    return models.flux()


def walk(small, *, announced=range(5), window=(1, 2), before=None):
    """Four steps of one forward each; ``before(step, view)`` interferes."""
    model, arguments = small
    with in_window(model, "0 3", "double", window) as stepping, torch.no_grad():
        for step in announced:
            stepping(step)
            if before is not None:
                before(step, stepping._view)
            if step < 4:
                model(**arguments)
    return stepping


def test_a_right_walk_passes(small):
    assert walk(small).check(4) == 4
    assert walk(small, announced=[*range(5), *range(5)]).check(4) == 8


def test_a_view_that_stays_is_seen(small):
    stepping = walk(small, before=lambda step, view: view.install() if step == 3 else None)
    with pytest.raises(
        SurgeryError, match=r"step 3, outside its window: stack 'double': the plan '0-3' .* \[0, 3\] ran"
    ):
        stepping.check(4)


def test_a_view_that_is_missing_is_seen(small):
    stepping = walk(small, before=lambda step, view: view.remove() if step == 2 else None)
    with pytest.raises(
        SurgeryError, match=r"step 2, inside its window: stack 'double': the plan '0 3' .* \[0, 1\] ran"
    ):
        stepping.check(4)


def test_a_view_that_nobody_iterates_is_seen(small, monkeypatch):
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
    with pytest.raises(SurgeryError, match="step 1, inside its window"):
        walk(small).check(4)


@pytest.mark.parametrize("announced", [range(4), range(6), [0, 1, 3, 2, 4], [*range(5), 0], []])
def test_steps_that_were_not_asked_for_are_seen(small, announced):
    with pytest.raises(SurgeryError, match=r"announced steps .* where 4 were asked for"):
        walk(small, announced=announced).check(4)


def test_a_step_without_a_forward_is_seen(small):
    stepping = walk(small)
    stepping._starts[2] = (2, stepping._starts[1][1])  # step 1 ran nothing, step 2 what both ran
    with pytest.raises(SurgeryError, match="step 1, inside its window"):
        stepping.check(4)


def test_blocks_after_the_last_step_are_seen(small):
    model, arguments = small
    with in_window(model, "0 3", "double", (0, 1)) as stepping, torch.no_grad():
        for step in range(5):
            stepping(step)
            model(**arguments)
    with pytest.raises(SurgeryError, match="ran after the last step"):
        stepping.check(4)
