"""Measures between states: the running sums against plain loops, and against what each of them is for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from harness.analysis import similarity
from harness.analysis.similarity import CLAMP, StreamSums, measure, spaced, weights
from tests.helpers.stored import slow


def drawn(seed, depth=4, tokens=9, width=6, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    states = [torch.randn(tokens, width, generator=generator)]
    while len(states) < depth:
        states.append(states[-1] + 0.7 * torch.randn(tokens, width, generator=generator))
    return [s.to(dtype) for s in states]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kept", [None, [0, 1, 2, 5, 6], [3, 4, 7]])
def test_measures_are_what_plain_loops_give(dtype, kept):
    states = drawn(1, dtype=dtype)
    found = measure(states, None if kept is None else torch.tensor(kept))
    raw, centred, hsic, angular, last = slow([s.double().numpy() for s in states], kept or list(range(9)))
    np.testing.assert_allclose(found.cosine, raw, atol=1e-12)
    np.testing.assert_allclose(found.centred, centred, atol=1e-12)
    np.testing.assert_allclose(found.angular, angular, atol=1e-8)  # arccos near 1 turns 1e-16 into 1e-8
    np.testing.assert_allclose(found.angular_last, last, atol=1e-8)
    if kept == [3, 4, 7]:
        assert found.hsic is None  # the estimator needs four tokens
    else:
        np.testing.assert_allclose(found.hsic, hsic, rtol=1e-9, atol=1e-9 * abs(hsic).max())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 14), st.integers(1, 5), st.integers(0, 9))
def test_the_size_of_a_chunk_changes_nothing(tokens, size, seed):
    states = drawn(seed, tokens=tokens)
    whole, parts = measure(states), measure(states, chunk=size * 4 * 6 * 8)
    for name in ("cosine", "centred", "angular", "angular_last"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-9)


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for made in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(made, torch.Tensor):
                self.bytes = max(self.bytes, made.numel() * made.element_size())
        return out


def test_nothing_is_made_that_is_larger_than_a_chunk(monkeypatch):
    states = [s.bfloat16() for s in drawn(2, depth=8, tokens=4000, width=32)]
    chunk = 8 * 32 * 8 * 300
    with Largest() as seen:
        measure(states, chunk=chunk)
    kernels = 8 * 256 * 256 * 8
    assert seen.bytes == kernels  # of CKA, which is half of what float64 copies of all tokens would be
    assert kernels < 0.6 * 8 * 4000 * 32 * 8
    monkeypatch.setattr(similarity, "_hsic", lambda *_: torch.zeros(8, 8))
    with Largest() as seen:
        measure(states, chunk=chunk)
    assert seen.bytes <= chunk


def test_three_hot_channels_hide_in_raw_cosines_alone():
    """What large models have: a few channels with one huge value in every token, in every layer."""
    generator = torch.Generator().manual_seed(3)
    states = [torch.randn(200, 64, generator=generator) for _ in range(5)]
    for state in states:
        state[:, [3, 17, 40]] += 100.0
    found = measure(states)
    off = ~np.eye(5, dtype=bool)
    assert found.cosine[off].min() > 0.99
    assert abs(found.centred[off]).max() < 0.05
    np.testing.assert_allclose(np.diag(found.centred), 1.0)


def test_a_layer_that_changes_some_tokens_is_blind_by_the_last_one():
    states = drawn(4, depth=1, tokens=50) * 2
    states = [states[0], states[0].clone()]
    states[1][:5] += 1.0
    found = measure(states)
    still = math.acos(CLAMP) / math.pi
    np.testing.assert_allclose(found.angular_last, still, rtol=1e-6)
    assert found.angular[0] > 0.01


def test_vectors_without_length_and_a_lone_token_are_no_division_by_zero():
    zero, one = torch.zeros(3, 4), torch.ones(3, 4)
    found = measure([zero, one])
    assert found.cosine.tolist() == [[0, 0], [0, 1]]
    assert found.angular.tolist() == pytest.approx([0.5])
    assert not found.centred.any()  # every token is the mean token
    alone = measure(drawn(5), torch.tensor([2]))
    assert not alone.centred.any()
    assert np.isfinite(alone.angular).all()
    with pytest.raises(ValueError, match="at least one token"):
        measure([one, one], torch.tensor([], dtype=torch.long))


def test_tokens_for_cka_are_spread_evenly():
    assert spaced(5, 256).tolist() == [0, 1, 2, 3, 4]
    assert spaced(1, 256).tolist() == [0]
    some = spaced(4096, 256)
    assert (some[0], some[-1], len(some.unique())) == (0, 4095, 256)
    assert some.diff().min() >= 15
    assert some.diff().max() <= 17


def sums_of(samples, draws=50):
    running = StreamSums("double", "image", len(samples[0][1]), 1, draws)
    for prompt, states in samples:
        running.add(measure(states), 0, weights(prompt, draws))
    return running.stream()


def test_cka_is_debiased():
    """Independent features: the usual CKA of 64 tokens of width 512 reads .9, the debiased one about 0."""
    generator = torch.Generator().manual_seed(6)
    samples = [
        (str(i), [torch.randn(64, 512, generator=generator), torch.randn(64, 512, generator=generator)])
        for i in range(4)
    ]
    cka = sums_of(samples).cka[0]
    assert abs(cka[0, 1]) < 0.1
    np.testing.assert_allclose(np.diag(cka), 1.0)
    x, y = (s - s.mean(0) for s in samples[0][1])
    biased = (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert biased > 0.8


def test_cka_does_not_see_rotations_and_scale():
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(40, 8, generator=generator)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    cka = sums_of([("a", [x, 3 * x @ turn + 5, x**3])]).cka[0]
    assert cka[0, 1] == pytest.approx(1, abs=1e-5)
    assert cka[0, 2] < 0.999


def test_cka_averages_hsic_before_the_ratio():
    """The minibatch form: a mean of the samples' own ratios would be another number."""
    samples = [(str(i), [(i + 1) * s for s in drawn(i + 20)]) for i in range(3)]
    table = sum(slow([s.numpy() for s in states], list(range(9)))[2] for _, states in samples)
    own = np.sqrt(np.diag(table))
    np.testing.assert_allclose(sums_of(samples).cka[0], table / np.outer(own, own), atol=1e-6)


def test_weights_depend_on_the_prompt_and_the_draws_number_alone():
    many = np.concatenate([weights(f"prompt {i}", 200) for i in range(300)])
    assert many.mean() == pytest.approx(1, abs=0.02)
    assert many.var() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(weights("a", 50), weights("a", 200)[:50])
    assert (weights("a", 200) != weights("b", 200)).any()
    first = [weights(f"prompt {i}", 2) for i in range(4000)]
    assert abs(np.corrcoef(np.array(first).T)[0, 1]) < 0.05  # draws don't hang together


def test_draws_are_means_over_prompts_drawn_anew():
    samples = [(p, drawn(i)) for i, p in enumerate(["a", "a", "b", "c"])]
    stream = sums_of(samples)
    table = np.array([weights(p, 50) for p, _ in samples])
    found = [measure(states) for _, states in samples]
    kept = [r for r in range(50) if table[:, r].sum()]
    assert len(stream.draws) == len(stream.angular_draws) == len(kept)
    for place, r in enumerate(kept):
        np.testing.assert_allclose(
            stream.draws[place], np.average([f.centred for f in found], axis=0, weights=table[:, r])
        )
        np.testing.assert_allclose(
            stream.angular_draws[place], np.average([f.angular for f in found], axis=0, weights=table[:, r])
        )
        np.testing.assert_allclose(
            stream.angular_last_draws[place], np.average([f.angular_last for f in found], axis=0, weights=table[:, r])
        )


def test_a_lone_prompt_leaves_out_the_draws_that_miss_it():
    stream = sums_of([("only", drawn(0))], draws=200)
    assert len(stream.draws) == (weights("only", 200) > 0).sum() < 200
    assert np.ptp(stream.draws, axis=0).max() < 1e-12


def test_a_bin_without_samples_is_nan():
    running = StreamSums("double", "image", 4, 3, 10)
    running.add(measure(drawn(0)), 1, weights("a", 10))
    stream = running.stream()
    assert stream.count.tolist() == [0, 1, 0]
    for name in ("cosine", "centred", "cka", "angular", "angular_last"):
        values = getattr(stream, name)
        assert np.isnan(values[[0, 2]]).all()
        assert np.isfinite(values[1]).all()
        np.testing.assert_array_equal(stream.overall(name), values[1])
