"""Images under plans, with the check that the blocks which ran are the plans'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from harness.ablation.block_parts import Atom
from harness.ablation.guidance import GuidancePass
from harness.ablation.plan import Plan
from harness.ablation.steps import Window
from harness.models.sampler import Sampler, Samples
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import ablate
from harness.surgery.windowed import in_window


def sample_plans(sampler: Sampler, prompts: Sequence[str], plans: Mapping[str, Plan], seed: int) -> Samples:
    """Images under plans of one stack or of several, in all denoising steps.

    Raises SurgeryError where the blocks that ran are not the plans'.
    """
    transformer = sampler.transformer
    with ExitStack() as views:
        ran: dict[str, list[Atom]] = {}
        for stack, plan in plans.items():
            views.enter_context(ablate(transformer, plan, stack))
            ran[stack] = views.enter_context(traced(transformer, stack))
        samples = sampler.sample(prompts, seed)
    for stack, plan in plans.items():
        check_trace(ran[stack], plan, stack)
    return samples


def sample_window(
    sampler: Sampler,
    prompts: Sequence[str],
    plan: Plan,
    stack: str,
    window: Window | None,
    seed: int,
    guidance_pass: GuidancePass | None = None,
) -> Samples:
    """Images under a plan that holds in a window of denoising steps; outside it the model runs as it is.

    Without a ``window`` it holds in all steps; with a ``guidance_pass``, in that pass alone. Raises SurgeryError where
    other blocks ran, or rows of the other pass were changed.
    """
    window = window or (0, sampler.settings.steps - 1)
    with in_window(sampler.transformer, plan, stack, window, guidance_pass) as stepping:
        samples = sampler.sample(prompts, seed, between=stepping)
    stepping.check(sampler.settings.steps)
    return samples
