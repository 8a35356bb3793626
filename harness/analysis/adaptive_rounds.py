"""Measuring variants adaptively: rounds of more and more prompts, and of fewer and fewer variants.

Which variants go on is decided by :mod:`harness.results.adaptive` after each look, from the prompts of that look alone:
a run that goes on after a crash comes to the same decisions. With a budget, variants are measured in the order of a
screening (:mod:`harness.analysis.screening`), the most promising first, until it is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.ablation.case import Case
from harness.analysis.screening import affordable, cost_of, evenly_spaced, screen
from harness.errors import OptionError
from harness.lab.budget import Account
from harness.lab.cost import share
from harness.lab.lab import Lab
from harness.results.adaptive import goes_on, looks, prompt_order
from harness.results.arrays import Array
from harness.results.records import Measurement
from harness.results.statistics import by_prompt


@dataclass
class Outcome:
    """By case: what was measured, what its run raised, or why it was not measured at all."""

    measurements: dict[str, Measurement] = field(default_factory=dict[str, Measurement])
    errors: dict[str, Exception] = field(default_factory=dict[str, Exception])
    unmeasured: dict[str, str] = field(default_factory=dict[str, str])


def least_budget(lengths: Mapping[str, int], cases: Sequence[Case], steps: int, control_images: int) -> float:
    """The control images that a budget needs before the first variant: the control's own, and the screening's."""
    plans = [{case.stack: case.plan} for case in cases]
    prompts, taken = affordable(lengths, plans, steps)
    return control_images + cost_of(lengths, plans, prompts, taken, steps)


def measure_in_rounds(
    lab: Lab,
    cases: Sequence[Case],
    *,
    before: Mapping[str, Measurement],
    keep: Callable[[Case, Measurement], None],
    say: Callable[[str], None],
    account: Account | None = None,
) -> Outcome:
    """Measure ``cases`` on as many of the lab's prompts as their ranking needs.

    ``before`` is what an earlier part of the run measured, by case; ``keep`` is called with what is known of a case
    after each of its rounds, ``say`` with a line after each look. A case that raises takes no further part. Raises
    OptionError where the control and the screening use the budget up, and HarnessError as :attr:`Lab.control` does.
    """
    prompts = len(lab.prompts)
    order = prompt_order(lab.categories or ("",) * prompts)
    outcome = Outcome({case.id: before[case.id] for case in cases if case.id in before})
    _ = lab.control
    if account is not None:
        cases = _in_order_of_screening(lab, cases, account, say)
    live, schedule = list(cases), looks(prompts)
    for number, count in enumerate(schedule, start=1):
        for case in live:
            known = outcome.measurements.get(case.id)
            having = 0 if known is None else known.prompts
            if having >= count:
                continue
            price = share(case, lab.checkpoint.stacks) * (count - having) * lab.variant_seeds
            if account is not None and not account.affords(price):
                return _ended(outcome, cases, account, say)
            try:
                new = lab.run(
                    case.plan,
                    case.stack,
                    case.window,
                    order[having:count],
                    modifiers=case.modifiers,
                    guidance_pass=case.guidance_pass,
                ).measurement
                known = new if known is None else lab.joined(known, new)
            except Exception as error:  # noqa: BLE001 - of any kind: the case's own test raises it
                outcome.errors[case.id] = error
                continue
            if account is not None:
                account.spend(price)
            outcome.measurements[case.id] = known
            keep(case, known)
        measured = [case for case in cases if case.id in outcome.measurements and case.id not in outcome.errors]
        harms = [_harms(outcome.measurements[case.id], order)[:count] for case in measured]
        flags = dict(zip((case.id for case in measured), goes_on(harms, prompts), strict=True))
        went = len(live)
        live = [case for case in live if flags.get(case.id, False)]
        images = sum(m.n for m in outcome.measurements.values())
        whole = len(cases) * prompts * lab.variant_seeds
        say(
            f"{lab.checkpoint.name}: look {number} of {len(schedule)}, {went} variants on {count} of {prompts} "
            f"prompts; {len(live)} go on ({images:,} of {whole:,} images)"
        )
        if not live:
            break
    return outcome


def _harms(measurement: Measurement, order: Sequence[int]) -> Array:
    """(n,) harms in the order in which prompts are measured."""
    harms = by_prompt(measurement.values["harm"], measurement.prompts)
    indices = range(measurement.prompts) if measurement.subset is None else measurement.subset.indices
    by_index = dict(zip(indices, harms, strict=True))
    return np.array([by_index[i] for i in order if i in by_index])


def _in_order_of_screening(
    lab: Lab, cases: Sequence[Case], account: Account, say: Callable[[str], None]
) -> Sequence[Case]:
    """The cases by velocity error, the smallest first; the control and this are paid from the account."""
    if unscreened := next((case for case in cases if case.modifiers), None):
        raise OptionError(
            f"--dit-budget screens plans by the error of single forwards, which says nothing of {unscreened.change}; "
            "use --dit-adaptive without a budget, or leave out the modifiers"
        )
    lengths, steps = lab.checkpoint.stacks, lab.checkpoint.settings.steps
    account.spend(len(lab.control.seeds) * len(lab.prompts))
    plans = [{case.stack: case.plan} for case in cases]
    prompts, taken = affordable(lengths, plans, steps)
    price = cost_of(lengths, plans, prompts, taken, steps)
    if not account.affords(price):
        spent = f"{account.spent:.0f} images" if account.budget.images is not None else f"{account.seconds:.0f} s"
        raise OptionError(
            f"--dit-budget {account.budget.text}: the control alone took {spent}, and the screening takes as long as "
            f"{price:.0f} images more; give more, or ask for less (--dit-control-seeds, --dit-prompts, --dit-steps)"
        )
    chosen = [lab.prompts[i] for i in evenly_spaced(prompts, len(lab.prompts))]
    screening = screen(lab.sampler, lengths, chosen, plans, steps=evenly_spaced(taken, steps))
    account.spend(screening.cost)
    places = {each.text: place for place, each in enumerate(screening.plans)}
    say(f"{lab.checkpoint.name}: screened {len(cases)} variants by velocity error for {screening.cost:.0f} images")
    return sorted(cases, key=lambda case: places[f"{case.stack}: {case.plan}"])


def _ended(outcome: Outcome, cases: Sequence[Case], account: Account, say: Callable[[str], None]) -> Outcome:
    """The outcome of a run whose budget is spent: the rest is not measured."""
    why = f"the budget of {account.budget.text} was spent; the variants with less velocity error went first"
    for case in cases:
        if case.id not in outcome.measurements and case.id not in outcome.errors:
            outcome.unmeasured[case.id] = why
    say(f"the budget of {account.budget.text} is spent: {account.spent:.0f} control images, {account.seconds:.0f} s")
    return outcome
