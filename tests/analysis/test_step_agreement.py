"""Whether blocks matter at the steps at which they turn their states: planted, permuted, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.step_agreement import at_levels, step_agreement

STEPS, BLOCKS, PROMPTS = 8, 12, 16


@pytest.fixture
def angles():
    return np.exp(np.random.default_rng(0).normal(size=(STEPS, BLOCKS)))


def errors(angles, noise=0.5):
    rng = np.random.default_rng(1)
    late, block = np.exp(np.arange(STEPS))[:, None], np.exp(rng.normal(size=BLOCKS))
    return angles * late * block * np.exp(noise * rng.normal(size=(PROMPTS, STEPS, BLOCKS)))


def test_a_model_whose_blocks_act_when_they_turn_their_states_is_found(angles):
    found = step_agreement(angles, errors(angles))
    assert found.shape == (PROMPTS,)
    assert found.min() > 0.7
    np.testing.assert_allclose(step_agreement(angles, errors(angles, noise=0.0)), 1.0)


def test_with_the_steps_in_another_order_nothing_is_left(angles):
    rng = np.random.default_rng(2)
    means = []
    for _ in range(40):
        orders = np.stack([rng.permutation(STEPS) for _ in range(BLOCKS)], axis=1)
        means.append(step_agreement(np.take_along_axis(angles, orders, axis=0), errors(angles)).mean())
    assert abs(np.mean(means)) < 0.05
    assert max(means) < 0.4


def test_what_all_steps_or_all_blocks_share_is_no_agreement():
    rng = np.random.default_rng(3)
    of_step, of_block = np.exp(rng.normal(size=(STEPS, 1))), np.exp(rng.normal(size=(1, BLOCKS)))
    shared = of_step * of_block
    assert step_agreement(shared, np.tile(shared, (PROMPTS, 1, 1))).tolist() == [0.0] * PROMPTS
    planted = shared * np.exp(rng.normal(size=(STEPS, BLOCKS)))
    assert np.abs(step_agreement(shared, errors(planted))).max() == 0.0


def test_it_is_the_correlation_of_residuals_of_two_way_means(angles):
    found = step_agreement(angles, errors(angles))
    design = np.concatenate([np.repeat(np.eye(STEPS), BLOCKS, axis=0), np.tile(np.eye(BLOCKS), (STEPS, 1))], axis=1)

    def residual(table):
        y = np.log(table).ravel()
        return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]

    by_hand = [np.corrcoef(residual(angles), residual(one))[0, 1] for one in errors(angles)]
    np.testing.assert_allclose(found, by_hand)


def test_steps_take_the_bin_of_their_noise_level():
    table = np.arange(8.0).reshape(4, 2)
    edges = np.linspace(0, 1, 5)
    np.testing.assert_array_equal(at_levels(edges, table, np.array([1.0, 0.8, 0.5, 0.1])), table[[3, 3, 2, 0]])


@pytest.mark.parametrize(
    ("shape", "other"), [((4, 5), (3, 5, 4)), ((1, 5), (3, 1, 5)), ((4, 1), (3, 4, 1)), ((4,), (3, 4))]
)
def test_what_cannot_be_correlated(shape, other):
    with pytest.raises(ValueError, match="are no"):
        step_agreement(np.ones(shape), np.ones(other))
