"""Plans that hold in one pass of guidance: rows of the batch, bitwise what the two passes give by themselves."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from harness.ablation.guidance import GuidancePass
from harness.ablation.plan import identity
from harness.errors import SurgeryError
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.surgery import view
from harness.surgery.trace import traced
from harness.surgery.view import AblationView, ablate
from harness.surgery.windowed import in_window
from harness.tiny import render
from tests.helpers.models import FAMILIES, SPECS, blocks, run

UNCOND, COND = GuidancePass
STEPS = 3
PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross", "a large blue square"]
MODELS = [  # of two rows, which stand for one image in two passes
    *(("sd3", "joint", plan) for plan in ("0 2-5", "0 3 1-2 4-5", "0 (1|2)+x2 3-5", "0-5 2", "0 1.attn 2*0.5 3-5")),
    *(("auraflow", "double", plan) for plan in ("0 2-3", "0 1.ff 2-3")),
    ("auraflow", "single", "0 (1|2|3) 5"),
]
PLANS = {"sd3": ("joint", "0 3 1-2 5-11"), "auraflow": ("double", "0 2")}


def halves(tensor):
    return tensor.chunk(2)


@pytest.mark.parametrize(("family", "stack", "plan"), MODELS)
def test_each_pass_is_bitwise_its_rows_of_two_forwards(family, stack, plan):
    model, arguments = FAMILIES[family]()
    assert len(arguments["hidden_states"]) == 2
    control = run(model, arguments)
    with ablate(model, plan, stack):
        whole = run(model, arguments)
    results = {}
    for one in GuidancePass:
        installed = AblationView(model, plan, stack, guidance_pass=one)
        with installed, traced(model, stack) as ran:
            results[one] = run(model, arguments)
        assert list(ran) == list(installed.runs.atoms())
    for here, plans_rows, other in ((UNCOND, 0, 1), (COND, 1, 0)):
        assert torch.equal(halves(results[here])[plans_rows], halves(whole)[plans_rows])
        assert torch.equal(halves(results[here])[other], halves(control)[other])
        assert not torch.equal(halves(results[here])[plans_rows], halves(control)[plans_rows])
    # Both passes together are the plan, and the model is itself again.
    assert torch.equal(torch.cat([halves(results[UNCOND])[0], halves(results[COND])[1]]), whole)
    assert torch.equal(run(model, arguments), control)


@pytest.mark.parametrize("one", GuidancePass)
@pytest.mark.parametrize(("family", "stack"), [("sd3", "joint"), ("auraflow", "double"), ("auraflow", "single")])
def test_the_identity_in_one_pass_is_bitwise_the_control(family, stack, one):
    model, arguments = FAMILIES[family]()
    length = len(blocks(model, stack))
    control = run(model, arguments)
    forced = AblationView(model, identity(length), stack, force_slots=True, guidance_pass=one)
    with forced:
        assert torch.equal(run(model, arguments), control)
    assert forced.mixed_positions == len(forced.rows_taken) == length
    with AblationView(model, identity(length), stack, guidance_pass=one) as plain:
        assert torch.equal(run(model, arguments), control)
    assert plain.mixed_positions == 0


def test_a_batch_of_a_single_pass_is_refused():
    model, arguments = FAMILIES["sd3"]()
    alone = {name: value[:1] if isinstance(value, torch.Tensor) else value for name, value in arguments.items()}
    with (
        AblationView(model, "0 2-5", "joint", guidance_pass=UNCOND),
        pytest.raises(SurgeryError, match="needs a batch of both passes, not one of 1 rows"),
    ):
        run(model, alone)


@pytest.fixture(params=sorted(PLANS))
def sampler(request, pipelines):
    settings = Settings(steps=STEPS, guidance=2.5, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    return Sampler(pipelines[request.param], SPECS[request.param], settings, batch=2)


def latents(sampler, one, window=(0, STEPS - 1)):
    stack, plan = PLANS[sampler.family.name]
    with in_window(sampler.transformer, plan, stack, window, one) as stepping:
        made = sampler.sample(PROMPTS, 0, between=stepping).latents
    assert stepping.check(STEPS) == 2 * STEPS
    return made


@contextmanager
def two_forwards(sampler, one, *, apart):
    """Every forward made by the plan and by the model as it is, on the whole batch or, ``apart``, on a pass each."""
    stack, plan = PLANS[sampler.family.name]
    transformer = sampler.transformer
    forward = transformer.forward

    def rows_of(kwargs, which):
        two = len(kwargs["hidden_states"])
        parts = {k: v for k, v in kwargs.items() if isinstance(v, torch.Tensor) and v.ndim and len(v) == two}
        return {**kwargs, **{k: halves(v)[which] for k, v in parts.items()}}

    def both(*args, **kwargs):
        kwargs = sampler.named(args, kwargs)
        results = []
        for which, here in enumerate((UNCOND, COND)):
            part = rows_of(kwargs, which) if apart else kwargs
            if here is one:
                with ablate(transformer, plan, stack):
                    out = forward(**part)[0]
            else:
                out = forward(**part)[0]
            results.append(out if apart else halves(out)[which])
        return (torch.cat(results),)

    transformer.forward = both
    try:
        yield
    finally:
        del transformer.forward


def test_images_are_those_of_two_forwards_a_step(sampler):
    control = sampler.sample(PROMPTS, 0).latents
    stack, plan = PLANS[sampler.family.name]
    with ablate(sampler.transformer, plan, stack):
        whole = sampler.sample(PROMPTS, 0).latents
    results = [control, whole]
    for one in GuidancePass:
        results.append(latents(sampler, one))
        with two_forwards(sampler, one, apart=False):
            assert torch.equal(results[-1], sampler.sample(PROMPTS, 0).latents)
        with two_forwards(sampler, one, apart=True):  # batches of another size sum in another order
            torch.testing.assert_close(results[-1], sampler.sample(PROMPTS, 0).latents, rtol=0, atol=1e-4)
        results.append(latents(sampler, one, window=(1, 1)))
    for i, first in enumerate(results):
        assert not any(torch.equal(first, other) for other in results[:i])
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


def test_rows_of_the_other_pass_are_an_error(sampler, monkeypatch):
    slot = view.OnePassSlot.__init__

    def swapped(self, *args):
        slot(self, *args)
        self._pass = COND if self._pass is UNCOND else UNCOND

    monkeypatch.setattr(view.OnePassSlot, "__init__", swapped)
    with pytest.raises(SurgeryError, match="which are not those of the pass 'uncond'"):
        latents(sampler, UNCOND)


def test_one_pass_that_does_nothing_is_an_error(sampler, monkeypatch):
    monkeypatch.setattr(view.OnePassSlot, "run_steps", lambda self, state, call: self._call(self._home, state, call))
    with pytest.raises(SurgeryError, match=r"did not take hold as written|0 times rows were taken"):
        latents(sampler, COND)
