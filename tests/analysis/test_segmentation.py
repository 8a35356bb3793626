"""Groups of blocks: the cut against brute force, the null against simulated stacks with and without groups."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.layer_groups import spans
from harness.analysis.profile import Profile, Stream
from harness.analysis.segmentation import (
    count_groups,
    gains,
    group,
    null_draws,
    outputs,
    segment,
    segment_costs,
    stored,
)


def gram_of(points):
    return points @ points.T


def scatter(points):
    """The reference: squared distances to the mean."""
    return ((points - points.mean(axis=0)) ** 2).sum()


def brute(points, count):
    n = len(points)
    cuts = [(0, *inner) for inner in combinations(range(1, n), count - 1)]
    costs = [sum(scatter(points[a:b]) for a, b in zip(c, (*c[1:], n), strict=True)) for c in cuts]
    return cuts, costs


def stream(gram, draws=None, name="image"):
    """A stream whose blocks' outputs have this Gram matrix; what enters block 0 resembles nothing."""

    def with_input(table):
        return np.pad(table, [(0, 0)] * (table.ndim - 2) + [(1, 0), (1, 0)])

    n = len(gram)
    whole = with_input(np.asarray(gram))[None]
    drawn = with_input(np.zeros((0, n, n)) if draws is None else draws)
    row = np.zeros((1, n))
    angles = np.zeros((len(drawn), n))
    return Stream("joint", name, np.ones(1), whole, whole, whole, row, row, drawn, angles, angles)


def sampled(similarity, rng, prompts=16, width=100, redraws=40):
    """A stream as measured: mean cosines over prompts of noisy states, and their Poisson bootstrap."""
    values, vectors = np.linalg.eigh(similarity)
    root = vectors * np.sqrt(np.maximum(values, 0))
    states = root @ rng.standard_normal((prompts, len(root), width))
    states /= np.linalg.norm(states, axis=2, keepdims=True)
    each = states @ states.swapaxes(1, 2)
    weights = rng.poisson(1, (redraws, prompts)) + 1e-9
    return stream(each.mean(axis=0), np.einsum("rp,pij->rij", weights / weights.sum(axis=1, keepdims=True), each))


def along(steps):
    """Similarity that decays with the distance along a path."""
    path = np.concatenate([[0.0], np.cumsum(steps / np.mean(steps) * 0.08)])
    return 0.9 * np.exp(-np.abs(path[:, None] - path[None])) + 0.1


def plateaus(n, count):
    which = np.arange(n) * count // n
    return np.where(which[:, None] == which[None], 0.9, 0.6) + 0.1 * np.eye(n)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 4))
def test_the_cut_is_the_best_of_all(seed, n, width):
    points = np.random.default_rng(seed).standard_normal((n, width))
    costs, starts = segment(gram_of(points), n)
    for count in range(1, n + 1):
        cuts, each = brute(points, count)
        assert costs[count - 1] == pytest.approx(min(each), abs=1e-9)
        assert each[cuts.index(tuple(starts[count - 1]))] == pytest.approx(min(each), abs=1e-9)


def test_costs_are_the_scatter_of_each_run():
    points = np.random.default_rng(0).standard_normal((6, 3))
    costs = segment_costs(gram_of(points))
    for a in range(6):
        for b in range(7):
            expected = scatter(points[a:b]) if b > a else np.inf
            assert costs[a, b] == pytest.approx(expected, abs=1e-9)


def test_a_batch_is_cut_one_by_one():
    rng = np.random.default_rng(1)
    grams = np.stack([gram_of(rng.standard_normal((9, 4))) for _ in range(5)])
    costs, starts = segment(grams, 4)
    for i, gram in enumerate(grams):
        own, cut = segment(gram, 4)
        np.testing.assert_allclose(costs[i], own)
        for count in range(4):
            np.testing.assert_array_equal(starts[count][i], cut[count])


@pytest.mark.parametrize("most", [0, 4])
def test_too_many_groups(most):
    with pytest.raises(ValueError, match=f"3 blocks can't be cut into {most} groups"):
        segment(np.eye(3), most)


def test_gains_rise_from_nothing_to_everything():
    gram = gram_of(np.random.default_rng(2).standard_normal((8, 5)))
    found = gains(gram, 8)
    assert found[0] == 0
    assert found[-1] == pytest.approx(1)
    assert (np.diff(found) >= -1e-12).all()


def test_what_enters_block_0_is_no_part_of_a_group():
    found, draws = outputs(sampled(plateaus(9, 3), np.random.default_rng(0)))
    assert found.shape == (9, 9)
    assert draws.shape == (40, 9, 9)
    assert found.min() > 0.4  # the input resembles nothing


def test_planted_groups_are_found_where_they_are():
    found = group(sampled(plateaus(12, 3), np.random.default_rng(0)), 3)
    assert found.starts == (0, 4, 8)
    assert found.spans == ((0, 3), (4, 7), (8, 11))
    assert len(found.starts) == 3
    assert found.length == 12
    assert found.structure
    assert found.p == 1 / 200
    assert found.gain > found.null_gain
    assert found.stability == (1.0, 1.0)
    assert str(found).startswith("joint: 0-3, 4-7, 8-11 (gain ")


def test_an_even_path_has_no_groups():
    found = group(sampled(along(np.ones(11)), np.random.default_rng(0)), 3)
    assert not found.structure
    assert "no block structure" in str(found)
    assert all(same <= near for same, near in zip(found.stability, found.near, strict=True))


def test_stability_is_the_share_of_draws_with_the_boundary():
    a, b = plateaus(9, 3), np.roll(np.roll(plateaus(9, 3), 1, axis=0), 1, axis=1)
    moved = np.where(np.arange(9)[:, None] == 0, a, b)  # rolled, but the first block stays where it was
    moved = np.where(np.arange(9)[None] == 0, a, moved)
    moved[0, 1:4] = moved[1:4, 0] = 0.9
    found = group(stream(a, np.stack([a, a, a, moved])), 3)
    assert found.starts == (0, 3, 6)
    assert found.stability == (0.75, 0.75)
    assert found.near == (1.0, 1.0)


EVEN = {
    "stationary": lambda n, rng: np.ones(n - 1),
    "slowing": lambda n, rng: np.exp(-np.linspace(0, 2, n - 1)),
    "both ends": lambda n, rng: np.exp(1.2 * (2 * np.linspace(-1, 1, n - 1) ** 2 - 1)),
    "irregular": lambda n, rng: np.exp(0.3 * rng.standard_normal(n - 1)),
}


@pytest.mark.parametrize("name", EVEN)
@pytest.mark.parametrize("n", [6, 12, 18])
def test_smooth_decay_is_rarely_called_structured(name, n):
    rng = np.random.default_rng(n)
    found = [group(sampled(along(EVEN[name](n, rng)), rng), 3, simulations=39, seed=i).structure for i in range(40)]
    assert np.mean(found) <= 0.1


@pytest.mark.parametrize(("n", "least"), [(6, 0.6), (12, 0.95), (18, 0.95)])
def test_plateaus_are_found(n, least):
    rng = np.random.default_rng(n)
    found = [group(sampled(plateaus(n, 3), rng), 3, simulations=39, seed=i).structure for i in range(20)]
    assert np.mean(found) >= least


def test_long_steps_are_found():
    rng = np.random.default_rng(0)
    found = []
    for i in range(20):
        steps = np.exp(0.15 * rng.standard_normal(11))
        steps[[3, 7]] *= 8
        found.append(group(sampled(along(steps), rng), 3, simulations=39, seed=i))
    assert np.mean([each.structure for each in found]) >= 0.75
    assert np.mean([each.starts == (0, 4, 8) for each in found]) >= 0.75


def test_few_blocks_are_never_called_structured():
    assert group(stream(plateaus(5, 3)), 3).p == 1.0
    assert count_groups(stream(plateaus(5, 3))).count == 1
    whole = group(stream(plateaus(5, 3)))
    assert (len(whole.starts), whole.p, whole.structure) == (3, 1.0, False)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_number_of_groups_is_that_of_the_plateaus(count):
    made = sampled(plateaus(15, count), np.random.default_rng(count))
    counted = count_groups(made)
    assert counted.count == count
    assert counted.draws.shape == (40,)
    assert np.mean(counted.draws == count) > 0.9
    found = group(made)
    assert (len(found.starts), found.p, found.structure) == (count, counted.p, True)
    assert len(found.stability) == count - 1


def test_two_middle_groups_can_come_out():
    """The blog sees two distinct middle groups in FLUX's single blocks: four groups in all."""
    of = np.repeat(np.arange(4), [3, 7, 6, 2])
    made = sampled(np.where(of[:, None] == of, 0.9, 0.6) + 0.1 * np.eye(18), np.random.default_rng(0))
    found = group(made)
    assert found.spans == ((0, 2), (3, 9), (10, 15), (16, 17))
    kept = stored(Profile("flux", "trajectory", 16, np.array([0.0, 1.0]), {"joint": 18}, (), {}), [found])
    assert spans(kept, "joint", 18) == {"first": (0, 2), "middle": (3, 15), "last": (16, 17)}


def test_no_number_of_groups_stands_out_without_groups():
    rng = np.random.default_rng(5)
    found = [count_groups(sampled(along(EVEN["irregular"](12, rng)), rng), simulations=39, seed=i) for i in range(30)]
    assert np.mean([each.count > 1 for each in found]) <= 0.1


def test_null_draws_are_similarities_of_smooth_decay():
    gram, draws = outputs(sampled(plateaus(12, 3), np.random.default_rng(0)))
    made = null_draws(gram, draws[:0], 20)
    np.testing.assert_allclose(np.diagonal(made, axis1=1, axis2=2), 1.0)
    np.testing.assert_allclose(made, made.swapaxes(1, 2), atol=1e-12)
    assert np.linalg.eigvalsh(made).min() > -1e-9
    row = made[:, 0, :]
    assert (np.diff(row, axis=1) < 0.05).all()  # farther is never much more alike
    np.testing.assert_array_equal(made, null_draws(gram, draws[:0], 20))


def test_no_draws_have_no_stability():
    found = group(stream(plateaus(9, 3)), 3)
    assert found.structure
    assert found.stability == ()


@pytest.mark.parametrize(("groups", "said"), [(1, "two groups or more, not 1"), (7, "6 blocks can't be cut into 7")])
def test_numbers_of_groups_that_make_no_sense(groups, said):
    with pytest.raises(ValueError, match=said):
        group(stream(plateaus(6, 3)), groups)


def test_groups_are_stored_as_ranges():
    found = group(sampled(plateaus(9, 3), np.random.default_rng(0)), 3)
    profile = Profile("sd3-tiny", "trajectory", 16, np.array([0.0, 1.0]), {"joint": 9}, (), {"torch": "2"})
    kept = stored(profile, [found])
    assert kept.checkpoint == "sd3-tiny"
    assert kept.measured == {"setting": "trajectory", "prompts": "16", "torch": "2"}
    assert spans(kept, "joint", 9) == {"first": (0, 2), "middle": (3, 5), "last": (6, 8)}


def test_without_scatter_there_is_nothing_to_gain():
    assert gains(np.ones((6, 6)) + 1e-16 * np.eye(6), 3).tolist() == [0.0, 0.0, 0.0]
    two = np.kron(np.eye(2), np.ones((3, 3)))
    np.testing.assert_allclose(gains(np.stack([np.ones((6, 6)), two]), 2), [[0.0, 0.0], [0.0, 1.0]], atol=1e-12)
