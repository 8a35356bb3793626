"""What a red test says of the control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.gates.baselines import Baseline, ControlFigures
from harness.gates.reference import Reference
from harness.report.failure import control_and_accept
from harness.results.fingerprint import facts
from harness.results.records import Measurement
from tests.helpers.records import FINGERPRINT

CONTROL = Measurement(16, 16, {}, {"seed_sd": 1.0, "score": 20.0}, latents_sha256="a" * 64)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("a" * 64, "control: bit-identical, so the variant changed and not the model"),
        ("b" * 64, "control: not bit-identical but within its tolerances, so it is the variant that changed"),
        ("", "control: not stored, so nothing says whether the variant changed or the model"),
        (None, "control: not stored, so nothing says whether the variant changed or the model"),
    ],
)
def test_the_control_is_compared_where_it_is_stored(stored, said):
    """Baselines of case files without a test of the control hold none."""
    its = None if stored is None else facts(FINGERPRINT, stored)
    path = Path("baselines/m/cpu-float32.json")
    baseline = Baseline(path, "m", "cpu", "float32", its, ControlFigures(1.0, {"score": 20.0}))
    reference = Reference(baseline, path, exact=True, tolerances=(), fingerprint=replace(FINGERPRINT))
    assert control_and_accept(reference, CONTROL, "t.py::t")[0] == said
