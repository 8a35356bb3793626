"""What differs between two fingerprints is named."""

from __future__ import annotations

from dataclasses import replace

from harness.results.fingerprint import circumstances
from tests.helpers.records import FINGERPRINT


def test_circumstances_name_what_differs():
    other = replace(FINGERPRINT, versions={"torch": "2.16.0", "peft": "1"}, threads=1, sampling={"steps": 8})
    assert circumstances(FINGERPRINT, other) == [
        "threads 2 -> 1",
        "guidance 0.0 -> -",
        "steps 4 -> 8",
        "peft - -> 1",
        "torch 2.15.0 -> 2.16.0",
    ]
