"""Runs of the same cases under several releases, made by hand."""

from __future__ import annotations

from dataclasses import replace

from harness.gates.upgrade import Run
from tests.helpers.records import FINGERPRINT, quality, shifted

BASE = [quality("skip", 1.0), quality("reverse", 0.2), quality("swap", 0.3)]


def of_release(record, label):
    """The record as measured under that release."""
    return replace(record, fingerprint=replace(FINGERPRINT, versions={"diffusers": label}))


def under(label, *changes):
    """A run of the same cases, each moved by so much."""
    moved = [shifted(r, by) if by else r for r, by in zip(BASE, changes or (0,) * 3, strict=True)]
    return Run(label, [of_release(record, label) for record in moved])
