"""A study of a real model: measured once, and its drifts add up."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.noised_images import CaptionedImages, on_noised
from harness.analysis.study import Study
from harness.results.fingerprint import incomparable
from harness.tiny import checker


def test_drift_of_a_variant_adds_up_to_its_pixel_error(flux_study):
    found = flux_study.image_drift("double: 0-1 4")
    layout, detail = flux_study.reseed
    measured = flux_study.run("double: 0-1 4")
    assert found.layout * layout + found.detail * detail == pytest.approx(np.array(measured.values["mse"]), abs=1e-6)
    assert layout + detail == pytest.approx(flux_study.lab.control.reseed["mse"])


def test_a_study_measures_a_plan_once_and_keeps_no_images(flux_study, monkeypatch):
    flux_study.ablate("single", 3, 3, "skip")
    monkeypatch.setattr(type(flux_study.lab), "run", lambda *a, **k: pytest.fail("measured twice"))
    flux_study.run("single: 0-2 4-9")
    flux_study.image_drift("0-2 4-9", "single")
    kept = [value for pair in flux_study._runs.values() for value in (pair[1].layout, pair[1].detail)]
    assert all(value.size == 8 for value in kept)


def test_objects_beyond_the_controls_are_counted_exactly(flux_study):
    assert flux_study.counts_objects
    found = flux_study.extra_objects("single: 3-9")
    assert found.shape == (8,)
    control = checker.read(flux_study.lab.control_images()).count
    variant = checker.read(flux_study.lab.run("single: 3-9")[1].images).count
    np.testing.assert_array_equal(found, variant - control)


def test_images_of_ones_own_are_noised_and_make_other_circumstances(flux_study):
    settings = flux_study.lab.sampler.settings
    rng = np.random.default_rng(0)
    pixels = rng.random((2, 3, settings.height, settings.width), dtype=np.float32)
    captions = ("a large solid red circle on a grey background", "a small striped blue square on a black background")
    own = Study(flux_study.lab, CaptionedImages(pixels, captions))
    assert own.noised.prompts == 2
    assert own.facts.prompts.startswith(f"{flux_study.facts.prompts}+")
    assert "prompts" in incomparable(flux_study.facts, own.facts)
    swapped = Study(flux_study.lab, CaptionedImages(pixels[::-1], captions))
    assert swapped.facts.prompts != own.facts.prompts
    expected = on_noised(flux_study.lab, images=pixels, captions=captions, draws=2)
    for stream in own.noised.streams:
        other = expected.stream(stream.stack, stream.name)
        np.testing.assert_allclose(stream.angular_last, other.angular_last)
