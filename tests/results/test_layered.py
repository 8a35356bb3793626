"""The table and the figures of a measurement of layers, of numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.results.layered import COMPOSITE, MEAN, LayerDistances, LayeredMeasurement, LayerHarm

FULL = LayeredMeasurement(
    plan="transformer_blocks: 0 2",
    pictures=1,
    seeds=(0, 1),
    identical=False,
    collapsed=1,
    distances=LayerDistances(
        np.array([[0.1, 0.3], [0.3, 0.5]]), np.array([[0.0, 0.2], [0.0, 0.4]]), np.array([0.25, 0.75])
    ),
    between_seeds=LayerDistances(np.array([[0.4, 0.8]]), np.array([[0.1, 0.3]]), np.array([1.0])),
    harm=LayerHarm(np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([-1.0, 4.0]), 0.5),
)


def test_rows_are_the_layers_their_mean_and_the_composite():
    background, top, mean, whole = FULL.rows
    assert (background.part, top.part, mean.part, whole.part) == ("layer 0", "layer 1", MEAN, COMPOSITE)
    assert (background.drift, top.drift, mean.drift, whole.drift) == pytest.approx((0.2, 0.4, 0.3, 0.5))
    assert (background.alpha_drift, top.alpha_drift, mean.alpha_drift) == pytest.approx((0.0, 0.3, 0.15))
    assert (background.harm, top.harm, mean.harm, whole.harm) == (2.0, 4.0, 3.0, 1.5)
    assert (mean.seed_drift, mean.seed_alpha_drift, whole.seed_drift) == pytest.approx((0.6, 0.2, 1.0))
    assert whole.alpha_drift is whole.seed_alpha_drift is None


def test_the_summary_has_a_name_for_each():
    assert FULL.summary == pytest.approx(
        {
            "layer_drift_0": 0.2,
            "layer_drift_1": 0.4,
            "layer_drift": 0.3,
            "alpha_drift_0": 0.0,
            "alpha_drift_1": 0.3,
            "alpha_drift": 0.15,
            "layer_harm_0": 2.0,
            "layer_harm_1": 4.0,
            "layer_harm": 3.0,
            "composite_drift": 0.5,
            "composite_harm": 1.5,
        }
    )


def test_the_table():
    assert str(FULL).splitlines() == [
        "transformer_blocks: 0 2: 1 picture x 2 seeds; 1 composite collapsed",
        "                drift  of a seed  alpha drift  of a seed  harm [points]",
        "layer 0           0.2        0.4            0        0.1           2.00",
        "layer 1           0.4        0.8          0.3        0.3           4.00",
        "mean of layers    0.3        0.6         0.15        0.2           3.00",
        "composite         0.5          1            -          -           1.50",
        "between seeds, the score of the control's composite has an sd of 0.50",
    ]


def test_the_frame_has_a_row_a_part():
    frame = FULL.to_frame()
    assert list(frame.columns) == [
        "plan", "part", "drift", "alpha_drift", "seed_drift", "seed_alpha_drift", "harm",
    ]  # fmt: skip
    assert frame["plan"].unique().tolist() == [FULL.plan]
    assert frame["part"].tolist() == ["layer 0", "layer 1", MEAN, COMPOSITE]
    assert frame["harm"].tolist() == [2.0, 4.0, 3.0, 1.5]
    assert frame["alpha_drift"].isna().tolist() == [False, False, False, True]
