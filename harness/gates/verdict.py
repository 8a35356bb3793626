"""Bitwise verdicts: what the same fingerprint must give again, and what an ablation must not give.

Beside the tolerances: within them a value may still have changed where nothing that is recorded did, and a variant
may still be the control.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.gates.baselines import Baseline, Entry
from harness.gates.tolerances import Tolerance, tolerance_for
from harness.results import columns
from harness.results.fingerprint import Fingerprint
from harness.results.records import Check, Status, Verdict
from harness.results.rounding import rounded

HELD = (Status.OK, Status.INSENSITIVE)


def did_nothing(verdict: Verdict, latents: str, control: str, plan: str) -> Verdict:
    """Red where a variant's latents are bitwise the control's, whatever its figures say; hashes may be empty."""
    if not latents or latents != control:
        return verdict
    note = (
        f"the latents are bitwise the control's under the plan '{plan}': the ablation was not applied, or this plan "
        "computes what the model computes"
    )
    return replace(verdict, status=Status.NOTHING, notes=(*verdict.notes, note))


def same_bits(verdict: Verdict, case: str, latents: str, fingerprint: Fingerprint, baseline: Baseline) -> Verdict:
    """Red where a case is within its tolerances, but not bitwise what this very fingerprint gave before.

    The fingerprint holds machine, instruction set, threads, batch, kernels, versions, weights and prompts: with all of
    them equal there is nothing left but chance, or a change that nothing records.
    """
    stored = baseline.latents.get(case)
    if not latents or stored is None or stored[0] != fingerprint.digest or stored[1] == latents:
        return verdict
    note = (
        f"latents {latents[:12]} where the same fingerprint ({fingerprint.digest}) gave {stored[1][:12]}: "
        "nothing that is recorded has changed, so something is left to chance, or this harness has changed"
    )
    status = Status.NONDETERMINISM if verdict.status in HELD else verdict.status
    return replace(verdict, status=status, notes=(*verdict.notes, note))


def compare(
    case: str,
    values: Mapping[str, float],
    stored: Mapping[str, Entry],
    tolerances: Sequence[Tolerance],
    gated: Iterable[str] | None = None,
) -> Verdict:
    """Every gated figure against its stored value: those of a case, unless others are named. Both sides fail.

    Higher is worse, except where the figure's declaration says that higher is better. A
    figure without a tolerance is compared as finely as it is stored. A value that is not a number is a regression.
    """
    checks: list[Check] = []
    for metric in columns.gated() if gated is None else gated:
        if metric not in values:
            continue
        value, entry = values[metric], stored.get(metric)
        if entry is None:
            checks.append(Check(metric, value, None, None, Status.MISSING))
            continue
        tolerance = tolerance_for(tolerances, case, metric)
        limit = entry.limit(tolerance)
        # Stored values are rounded, so that is how finely they can be compared.
        change = (rounded(value) if math.isfinite(value) else value) - entry.value
        status = Status.OK
        if not abs(change) <= limit:  # also where the value is NaN
            better = change > 0 if columns.higher_is_better(metric) else change < 0
            status = Status.STALE if better else Status.REGRESSION
        checks.append(Check(metric, value, entry.value, limit, status, _source(entry, tolerance), entry.effect))
    return Verdict(_overall(checks), tuple(checks))


def _source(entry: Entry, tolerance: Tolerance | None) -> str:
    if tolerance is None:
        return "exact"
    return tolerance.source if entry.limit(tolerance) == tolerance.limit(entry.value) else "noise floor"


def _overall(checks: Sequence[Check]) -> Status:
    """The gravest status; a case that would not even see one more block skipped is insensitive, where it is green.

    A gate sees that fault where its limit is under half of the fault's effect.
    """
    status = worst(c.status for c in checks)
    known = [c for c in checks if c.effect is not None]
    insensitive = bool(known) and not any(
        c.tolerance is not None and c.tolerance < c.effect / 2 for c in known if c.effect
    )
    return Status.INSENSITIVE if status is Status.OK and insensitive else status


def worst(statuses: Iterable[Status]) -> Status:
    """The gravest of some outcomes; OK for none."""
    order = (*(s for s in Status if s.red), Status.UNJUDGED, Status.UPDATED, Status.INSENSITIVE)
    seen = set(statuses)
    return next((s for s in order if s in seen), Status.OK)


def accepted(verdict: Verdict, mode: str) -> Verdict:
    """The verdict of a run that writes baselines: what the mode stores is no failure any more."""
    checks = tuple(
        replace(check, status=Status.UPDATED) if check.status in _writable(mode) else check for check in verdict.checks
    )
    # Bits that differ under the same fingerprint are stored anew; nothing accepts an ablation that did nothing.
    bitwise = verdict.status is Status.NONDETERMINISM and mode != "missing"
    left = () if bitwise or verdict.status is not Status.NONDETERMINISM else (verdict.status,)
    status = worst([*(c.status for c in checks), *left, *([Status.UPDATED] if bitwise else [])])
    return replace(verdict, status=status, checks=checks)


def _writable(mode: str) -> frozenset[Status]:
    if mode == "missing":
        return frozenset({Status.MISSING})
    return frozenset({Status.MISSING, Status.REGRESSION, Status.STALE})
