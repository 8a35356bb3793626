"""Writing baselines: what each mode of --dit-baseline-update stores."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.gates.baselines import Baseline, Entry
from harness.results.columns import stored as stored_figures
from harness.results.fingerprint import Fingerprint
from harness.results.records import Status, Verdict
from harness.results.rounding import rounded

UPDATE_MODES = ("missing", "changed", "all")


def store(baseline: Baseline, case: str, values: Mapping[str, float], n: int, verdict: Verdict, mode: str) -> bool:
    """Write a case's values into ``baseline`` as the mode allows; True where anything changed.

    ``missing`` adds what has no entry, ``changed`` also replaces a case of which a gate was red (what is
    inside its tolerance stays, so that values don't creep), ``all`` replaces everything.
    """
    entries = baseline.cases.get(case, {})
    kept = stored_figures()
    replaces = mode == "all" or (mode == "changed" and any(c.status is Status.UPDATED for c in verdict.checks))
    # A value that is replaced takes its noise floor and its effect along: they were measured around the old one.
    fresh = {
        metric: Entry(rounded(value), n)
        for metric, value in values.items()
        if metric in kept and math.isfinite(value) and (replaces or metric not in entries)
    }
    fresh = {m: e for m, e in fresh.items() if m not in entries or (entries[m].value, entries[m].n) != (e.value, e.n)}
    if not fresh:
        return False
    baseline.cases[case] = {**entries, **fresh}
    return True


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
