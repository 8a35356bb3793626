"""Means over pictures of each layer, and over layers."""

from __future__ import annotations

import numpy as np

from harness.results.layer_figures import LayerDistances, layer_figures

APART = LayerDistances(np.array([[0.1, 0.3], [0.5, 0.7]]), np.array([[0.0, 0.2], [0.2, 0.4]]), np.array([1.0, 2.0]))


def test_every_layer_has_a_figure_and_so_has_their_mean():
    harm = np.array([[1.0, 2.0], [3.0, 6.0]])
    assert layer_figures(APART, harm) == {
        "layer_drift_0": 0.3, "alpha_drift_0": 0.1, "layer_harm_0": 2.0,
        "layer_drift_1": 0.5, "alpha_drift_1": 0.30000000000000004, "layer_harm_1": 4.0,
        "layer_drift": 0.4, "alpha_drift": 0.2, "layer_harm": 3.0,
        "composite_drift": 1.5,
    }  # fmt: skip


def test_without_a_judge_there_is_no_harm():
    assert [name for name in layer_figures(APART, None) if "harm" in name] == []
