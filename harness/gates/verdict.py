"""Bitwise verdicts: what the same fingerprint must give again, and what an ablation must not give.

Beside the tolerances: within them a value may still have changed where nothing that is recorded did, and a variant
may still be the control.
"""

from __future__ import annotations

from dataclasses import replace

from harness.gates.baselines import Baseline
from harness.results.records import Fingerprint, Status, Verdict

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


def remember(baseline: Baseline, case: str, latents: str, fingerprint: Fingerprint, mode: str) -> bool:
    """Keep a case's hash as the mode allows; True where anything changed.

    ``missing`` adds it where there is none, ``changed`` replaces it under the same fingerprint only (another
    machine's hash stays that machine's), ``all`` replaces it.
    """
    stored, fresh = baseline.latents.get(case), (fingerprint.digest, latents)
    replaces = stored is None or mode == "all" or (mode == "changed" and stored[0] == fingerprint.digest)
    if not latents or not replaces or stored == fresh:
        return False
    baseline.latents[case] = fresh
    return True
