"""A study of a real model: measured once, and its drifts add up."""

from __future__ import annotations

import numpy as np
import pytest


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
