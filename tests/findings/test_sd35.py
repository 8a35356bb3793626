"""The SD3.5-Large study's claims are found in its own figure, and not in another."""

from __future__ import annotations

import numpy as np
import pytest

from harness.findings import sd35
from harness.findings.claim import ClaimVerdict, judge
from harness.findings.sd35 import SD35
from tests.helpers.studies import CLAIMS, Made, profile, stream

# Timestep means of the SD3.5-Large layer-wise analysis, read off its figure (about +-.003, capped at p95).
IMAGE = """.203 .104 .095 .025 .052 .042 .039 .051 .019 .031 .025 .039 .044 .032 .044 .037 .038 .050 .051 .074 .049 .064
.049 .060 .068 .074 .075 .081 .072 .076 .097 .095 .104 .132 .146 .203 .142 .119"""
TEXT = """.169 .129 .085 .060 .057 .054 .062 .013 .046 .038 .072 .032 .032 .041 .061 .086 .080 .083 .086 .118 .132 .126
.131 .134 .119 .129 .113 .123 .125 .130 .134 .166 .060 .054 .041 .059 .038"""
READING = 0.0015  # the figure's own uncertainty, as a standard deviation


def large(*, image=None, text=None, noise=READING, rising=1.0, wobble=0.02):
    """The study's figure as a profile; ``image`` and ``text`` change single layers of it."""
    rng = np.random.default_rng(4)
    made = Made("sd3", stacks={"joint": 38})
    streams = []
    for name, given_, changed in (("image", IMAGE, image), ("text", TEXT, text)):
        means = np.array([float(v) for v in given_.split()])
        for layer, value in (changed or {}).items():
            means[layer] = value
        slope = np.zeros(len(means))
        if name == "text":
            slope[list(sd35.RISING)] = rising
        levels = np.linspace(0.05, 0.95, 10)[:, None] - 0.5
        shaken = rng.normal(size=(10, len(means))) * wobble
        bins = means * (1 + slope * levels + shaken - shaken.mean(axis=0))
        streams.append(stream("joint", name, angular=bins, noise=noise))
    made.noised = profile(*streams)
    return made


@pytest.mark.parametrize("name", [c.id for c in SD35])
def test_the_study_of_sd35_large_is_found_in_its_own_figure(name):
    assert judge(CLAIMS[name], large()).verdict is ClaimVerdict.SUPPORTED


@pytest.mark.parametrize(
    ("name", "contradicting", "blurring"),
    [
        ("C1", {"text": {5: 0.2}}, {"noise": 0.05}),
        ("C1", {"image": {20: 0.3}}, {"noise": 0.05}),
        ("C2", {"text": {25: 0.02}}, {"noise": 0.05}),
        ("C2", {"image": {32: 0.2}}, {"noise": 0.05}),
        ("C3", {"text": {12: 0.001}}, {"noise": 0.05}),
        ("C3-image", {"image": {3: 0.001}}, {"noise": 0.05}),
        ("C4", {"rising": -1.0}, {"wobble": 3.0}),
    ],
)
def test_another_figure_contradicts_or_leaves_open(name, contradicting, blurring):
    assert judge(CLAIMS[name], large(**contradicting)).verdict is ClaimVerdict.CONTRADICTED
    assert judge(CLAIMS[name], large(**blurring)).verdict is ClaimVerdict.UNDECIDED


def test_the_claims_of_the_study_agree_with_its_printed_numbers():
    image, text = (np.array([float(v) for v in given_.split()]) for given_ in (IMAGE, TEXT))
    assert (len(image), len(text)) == (38, 37)
    assert set(np.argsort(image)[-2:]) == set(sd35.CRITICAL["image"])
    assert set(np.argsort(text)[-2:]) == set(sd35.CRITICAL["text"])
    assert (text.argmin(), image.argmin()) == (sd35.LEAST["text"], sd35.LEAST["image"])
