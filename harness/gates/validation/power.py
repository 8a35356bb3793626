"""What the gates would see: known faults injected into a checkpoint, measured against its own stored values.

A fault changes the model, so the control is measured anew under it, as it would be in a run that suffers from it.
Only the tolerance gates of the cases count here: the bitwise check and the control's own gates would see more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.ablation.case import Case
from harness.errors import BaselineError
from harness.gates import baselines
from harness.gates.baselines import Baseline
from harness.gates.tolerances import Tolerance
from harness.gates.validation.faults import FAULTS, Fault
from harness.gates.verdict import compare
from harness.lab.lab import Lab
from harness.results.columns import latency_gated
from harness.results.records import Check, Status

SENSITIVITY_FAULT = "one-more-skipped"  # the fault that decides whether a case is sensitive


@dataclass(frozen=True)
class Effect:
    """What one fault did to one case: its gates' checks against the stored values.

    ``checks`` are those with the noise floors that the file has, ``by_hand`` those with tolerances.toml alone, as on
    another machine.
    """

    mutant: str
    case: str
    checks: tuple[Check, ...]
    by_hand: tuple[Check, ...]

    @property
    def caught(self) -> tuple[str, ...]:
        """The metrics that were red."""
        return _caught(self.checks)


def _caught(checks: Sequence[Check]) -> tuple[str, ...]:
    """The metrics that are red."""
    return tuple(c.metric for c in checks if c.status.red)


@dataclass(frozen=True)
class FaultResult:
    """One fault over the cases of a checkpoint; ``why_not`` where it doesn't exist on this model."""

    mutant: Fault
    effects: tuple[Effect, ...] = ()
    why_not: str = ""

    @property
    def flagged(self) -> int:
        """How many cases would have been red."""
        return sum(bool(e.caught) for e in self.effects)

    @property
    def flagged_by_hand(self) -> int:
        """How many would have been red with tolerances.toml alone."""
        return sum(bool(_caught(e.by_hand)) for e in self.effects)


def examine(
    lab: Lab,
    cases: Sequence[Case],
    baseline: Baseline,
    tolerances: Sequence[Tolerance],
    mutants: Sequence[Fault] = FAULTS,
    progress: Callable[[str], None] = lambda _text: None,
) -> Iterator[FaultResult]:
    """Measure every case under every fault. ``baseline`` must have been measured like ``lab``, noise floors included.

    Raises BaselineError where a case has no stored value, or where the lab without any fault is red on one of them:
    then there is something to find out first.
    """
    lab.fix_unit(baseline.seed_sd)
    if cases:
        null = _effect(lab, cases[0], baseline, tolerances, Fault("none", "no fault"))
        if null.caught:
            raise BaselineError(
                f"{cases[0].id} is red without any fault ({', '.join(null.caught)}); run its cases and fix that first"
            )
    for mutant in mutants:
        if not mutant.applies(lab.sampler):
            yield FaultResult(mutant, why_not=f"no such thing in {lab.checkpoint.family.name} as it is run here")
            continue
        effects: list[Effect] = []
        with mutant.at_work(lab.sampler):
            # What was measured of the control is not the faulty model's.
            faulty = lab.anew() if mutant.changes_model else lab
            for number, case in enumerate(cases, start=1):
                progress(f"{lab.checkpoint.name}: {mutant.name}, case {number} of {len(cases)}")
                effects.append(_effect(faulty, case, baseline, tolerances, mutant))
        yield FaultResult(mutant, tuple(effects))


def _effect(lab: Lab, case: Case, baseline: Baseline, tolerances: Sequence[Tolerance], mutant: Fault) -> Effect:
    stored = baseline.cases.get(case.id)
    if stored is None:
        raise BaselineError(f"{baseline.path} has no entry for {case.id}; store one with --dit-baseline-update=missing")
    plan = mutant.plan(case.plan, case.length, case.span)
    measured, _ = lab.run(plan, case.stack, case.window, modifiers=case.modifiers, guidance_pass=case.guidance_pass)
    stored = {metric: entry for metric, entry in stored.items() if metric not in latency_gated()}
    by_hand = {metric: replace(entry, tolerance=None, mode=None) for metric, entry in stored.items()}
    checks, hand = (compare(case.id, measured.summary, each, tolerances).checks for each in (stored, by_hand))
    return Effect(mutant.name, case.id, checks, hand)


def store_effects(baseline: Baseline, tested: FaultResult) -> int:
    """Keep how far one more skipped block moves each case's gated metrics; the number of cases it was kept for."""
    kept = 0
    for effect in tested.effects:
        entries = baseline.cases[effect.case]
        for check in effect.checks:
            if check.baseline is not None and check.tolerance:
                size = abs(check.value - check.baseline)
                entries[check.metric] = baselines.with_effect(entries[check.metric], size)
        kept += 1
    return kept


def insensitive(baseline: Baseline, tolerances: Sequence[Tolerance]) -> list[str]:
    """The stored cases whose gates would not see one more skipped block, by the effects that are stored."""
    out: list[str] = []
    for case, entries in baseline.cases.items():
        stored = {metric: entry for metric, entry in entries.items() if metric not in latency_gated()}
        values = {metric: entry.value for metric, entry in stored.items()}
        if compare(case, values, stored, tolerances).status is Status.INSENSITIVE:
            out.append(case)
    return out
