"""Records of plans that save time, and of modifiers that save as much."""

from __future__ import annotations

from dataclasses import replace

from harness.ablation.modifiers import WORD as MODIFIER
from tests.helpers.records import latency, quality


def plan(name, harm, theory=1.3):
    return [quality(name, harm), latency(name, theory, theory=theory)]


def modifiers(label, harm, theory, **changed):
    measured = replace(quality(label, harm, words=(MODIFIER,)), plan="", **changed)
    return [measured, replace(latency(label, theory, theory=theory), plan="")]
