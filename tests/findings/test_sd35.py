"""The SD3.5-Large study's claims come out of its own figure as published, and not of another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.profile import Velocity
from harness.findings import sd35
from harness.findings.claim import ClaimVerdict, judge
from harness.findings.sd35 import SD35
from tests.helpers.studies import CLAIMS, Made, profile, stream
from tests.helpers.study_maps import IMAGE, READING, TEXT

OF_LAYERS = [c.id for c in SD35 if not c.id.startswith("C7")]


def large(*, image=None, text=None, noise=READING, slope=0.0, bend=0.0, wobble=0.0):
    """The study's figure as a profile; ``image`` and ``text`` set the means of single layers.

    ``slope`` and ``bend`` are added over the noise to the layers that are said to rise, and to be high at both ends.
    """
    rng = np.random.default_rng(4)
    made = Made("sd3", stacks={"joint": 38})
    levels = np.linspace(0.05, 0.95, 10) - 0.5
    streams = []
    for name, table, changed in (("image", IMAGE, image), ("text", TEXT, text)):
        bins = table + rng.normal(size=table.shape) * wobble
        rising, bent = (sd35.RISING, ()) if name == "text" else ((33, 34), sd35.EXTREMES)
        bins[:, list(rising)] += slope * levels[:, None]
        bins[:, list(bent)] += bend * (levels**2 - np.mean(levels**2))[:, None]
        for layer, value in (changed or {}).items():
            bins[:, layer] += value - bins[:, layer].mean()
        streams.append(stream("joint", name, angular=bins, noise=noise))
    made.noised = profile(*streams)
    return made


@pytest.mark.parametrize("name", OF_LAYERS)
def test_the_studys_claims_come_out_of_its_figure_as_published(name):
    """All but one: that layer 7 contributes little to the text and to the image, where its image is like any other."""
    finding = judge(CLAIMS[name], large())
    if name.startswith("C3") and name not in ("C3-text", "C3-image"):
        assert finding.verdict is ClaimVerdict.CONTRADICTED
        assert finding.decisive.what == "image, least of the others - 7"
        assert finding.decisive.value.value == pytest.approx(-0.032, abs=0.002)
    else:
        assert finding.verdict is ClaimVerdict.SUPPORTED


@pytest.mark.parametrize(
    ("name", "contradicting", "blurring"),
    [
        ("C1", {"text": {5: 0.2}}, {"noise": 0.05}),
        ("C1", {"image": {20: 0.3}}, {"noise": 0.05}),
        ("C2", {"text": {25: 0.02}}, {"noise": 0.05}),
        ("C2", {"image": {32: 0.2}}, {"noise": 0.05}),
        ("C3-text", {"text": {12: 0.001}}, {"noise": 0.05}),
        ("C3-image", {"image": {3: 0.001}}, {"noise": 0.05}),
        ("C4", {"slope": -0.3}, {"wobble": 0.2}),
        ("C4-listed", {"slope": -0.3}, {"wobble": 0.2}),
        ("C5", {"slope": -0.3}, {"wobble": 0.2}),
        ("C6", {"bend": -0.5}, {"wobble": 0.2}),
    ],
)
def test_another_figure_contradicts_or_leaves_open(name, contradicting, blurring):
    assert judge(CLAIMS[name], large(**contradicting)).verdict is ClaimVerdict.CONTRADICTED
    assert judge(CLAIMS[name], large(**blurring)).verdict is ClaimVerdict.UNDECIDED


def test_one_layer_that_contributes_least_to_both_would_support_c3():
    assert judge(CLAIMS["C3"], large(image={7: 0.005})).verdict is ClaimVerdict.SUPPORTED


def test_a_model_whose_text_rises_everywhere_has_no_listed_layers():
    """Without the contrast to the other layers C4 held for any model whose text turns more at high noise."""
    made = large()
    image, _ = made.noised.streams
    levels = np.linspace(0.05, 0.95, 10)[:, None]
    rng = np.random.default_rng(0)
    alike = 0.1 + 0.1 * levels + rng.normal(size=(10, 37)) * 0.001
    made.noised = profile(image, stream("joint", "text", angular=alike))
    assert judge(CLAIMS["C4-listed"], made).verdict is ClaimVerdict.SUPPORTED
    assert judge(CLAIMS["C4"], made).verdict is not ClaimVerdict.SUPPORTED


@pytest.mark.parametrize("name", ["C1", "C2", "C4", "C5", "C6"])
def test_the_studys_own_measure_is_the_last_token(name):
    made = large()
    flat = [
        replace(s, angular=np.full_like(s.angular, 0.1), angular_draws=np.full_like(s.angular_draws, 0.1))
        for s in made.noised.streams
    ]
    made.noised = profile(*flat)
    assert judge(CLAIMS[name], made).verdict is ClaimVerdict.SUPPORTED
    assert judge(CLAIMS[f"{name}-mean"], made).verdict is not ClaimVerdict.SUPPORTED
    turned = [
        replace(s, angular=s.angular_last, angular_last=s.angular, angular_draws=s.angular_last_draws)
        for s in made.noised.streams
    ]
    made.noised = profile(*turned)
    assert judge(CLAIMS[name], made).verdict is not ClaimVerdict.SUPPORTED
    assert judge(CLAIMS[f"{name}-mean"], made).verdict is ClaimVerdict.SUPPORTED


def step_by_step(errors_of):
    """A model of two stacks whose blocks turn their states at steps of their own; errors (P, S, L) from the angles."""
    rng = np.random.default_rng(0)
    made = Made("flux", stacks={"double": 4, "single": 6})
    levels = np.array([0.95, 0.65, 0.35, 0.15])
    streams = []
    for stack, length in made.stacks.items():
        angles = np.exp(rng.normal(size=(10, length)))
        at_steps = angles[(levels * 10).astype(int)]
        noise = np.exp(0.3 * rng.normal(size=(24, 4, length)))
        made.velocities[stack] = Velocity("made", stack, levels, errors_of(at_steps) * noise)
        streams.append(stream(stack, "image", angular=angles))
    made.noised = profile(*streams)
    return made


def test_blocks_that_matter_when_they_turn_their_states():
    assert judge(CLAIMS["C7"], step_by_step(lambda angles: angles)).verdict is ClaimVerdict.SUPPORTED
    assert judge(CLAIMS["C7-mean"], step_by_step(lambda angles: angles)).verdict is ClaimVerdict.SUPPORTED
    assert judge(CLAIMS["C7"], step_by_step(lambda angles: 1 / angles)).verdict is ClaimVerdict.CONTRADICTED
    # That late steps, or some blocks at all steps, matter more says nothing of the two together.
    late = step_by_step(lambda angles: np.exp(np.arange(4.0))[:, None] * np.exp(np.arange(angles.shape[1])))
    assert judge(CLAIMS["C7"], late).verdict is ClaimVerdict.UNDECIDED


def test_the_claims_of_the_study_agree_with_its_printed_numbers():
    image, text = IMAGE.mean(axis=0), TEXT.mean(axis=0)
    assert (len(image), len(text)) == (38, 37)
    assert set(np.argsort(image)[-2:]) == set(sd35.CRITICAL["image"])
    assert set(np.argsort(text)[-2:]) == set(sd35.CRITICAL["text"])
    assert (text.argmin(), image.argmin()) == (sd35.LEAST["text"], sd35.LEAST["image"])
    assert sum(image < image[7]) == 15  # of 37 others, so it is far from being the lowest
