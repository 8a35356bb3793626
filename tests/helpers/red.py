"""A case with stored values, and measurements that are red against them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.ablation.grid import from_id
from harness.gates.baselines import Baseline, ControlFigures, Entry
from harness.gates.reference import Reference
from harness.gates.tolerances import Tolerance
from harness.results.fingerprint import facts
from harness.results.records import Measurement
from tests.helpers.records import FINGERPRINT

CASE = from_id("m", {"double": 5}, "m-double-L01-skip")
PROMPTS = tuple(f"a large red circle on a grey background, number {i}" for i in range(1, 5))
CONTROL = Measurement(
    n=8,
    prompts=4,
    values={},
    summary={"score": 30.0, "seed_sd": 2.0, "reseed_latent": 1.0},
    latents_sha256="c" * 64,
    texts=PROMPTS,
)


def variant(harm=0.5, latents="v" * 64, drift=0.8):
    """Four prompts, of which the second one lost most."""
    return Measurement(
        n=4,
        prompts=4,
        values={"harm": (0.0, 8.0 * harm, 0.0, 0.0)},
        summary={"harm": harm, "latent_drift": drift, "seed_sd": 2.0},
        latents_sha256=latents,
    )


def reference(*, score=True, control_latents="c" * 64, digest="", tolerances=("harm", "latent_drift", "score")):
    """Harm .5 and drift .8 are stored, with the latents of variant and control under one fingerprint."""
    control = ControlFigures(2.0, {"score": 30.0} if score else {})
    baseline = Baseline(Path("m/cpu-float32.json"), "m", "cpu", "float32", control=control)
    baseline.facts = facts(replace(FINGERPRINT, versions={"torch": "2.14.0"}), control_latents)
    baseline.cases = {CASE.id: {"harm": Entry(0.5, 4), "latent_drift": Entry(0.8, 4)}}
    baseline.latents = {CASE.id: (digest or "0" * 12, "v" * 64), "m-control": ("0" * 12, "c" * 64)}
    gates = tuple(Tolerance("*", metric, 0.05, 0.0, "t") for metric in tolerances)
    return Reference(baseline, baseline.path, exact=True, tolerances=gates, fingerprint=FINGERPRINT)
