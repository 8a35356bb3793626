"""The SD3.5-Large layer study's published means and factors."""

from __future__ import annotations

import numpy as np

from harness.analysis.profile import Profile, Stream

# The SD3.5-Large layer study: timestep means read off its figure (to about .003, capped there at p95), its critical
# layers, and the factors that it shipped.
IMAGE = [
    *(0.203, 0.104, 0.095, 0.025, 0.052, 0.042, 0.039, 0.051, 0.019, 0.031, 0.025, 0.039, 0.044, 0.032, 0.044, 0.037),
    *(0.038, 0.050, 0.051, 0.074, 0.049, 0.064, 0.049, 0.060, 0.068, 0.074, 0.075, 0.081, 0.072, 0.076, 0.097, 0.095),
    *(0.104, 0.132, 0.146, 0.203, 0.142, 0.119),
]
TEXT = [
    *(0.169, 0.129, 0.085, 0.060, 0.057, 0.054, 0.062, 0.013, 0.046, 0.038, 0.072, 0.032, 0.032, 0.041, 0.061, 0.086),
    *(0.080, 0.083, 0.086, 0.118, 0.132, 0.126, 0.131, 0.134, 0.119, 0.129, 0.113, 0.123, 0.125, 0.130, 0.134, 0.166),
    *(0.060, 0.054, 0.041, 0.059, 0.038),
]
CRITICAL = (0, 31, 35)
SHIPPED = [
    *(1, 4, 6, 11, 9, 10, 10, 11, 12, 11, 11, 11, 11, 11, 10, 9, 10, 9, 8, 6, 7, 6, 7, 6, 6, 6, 6, 5, 6, 5, 4, 1, 6, 4),
    *(4, 1, 4, 4),
]


def agreement(factors):
    off = np.abs(np.subtract(factors, SHIPPED)[:37])
    return int((off == 0).sum()), int((off <= 1).sum())


def angular_stream(stack, name, length, seed, bins=3):
    rng = np.random.default_rng(seed)
    depth = length + 1
    table = np.broadcast_to(np.eye(depth), (bins, depth, depth)).copy()
    return Stream(
        stack,
        name,
        np.ones(bins),
        table,
        table,
        table,
        rng.random((bins, length)),
        rng.random((bins, length)),
        np.zeros((2, depth, depth)),
        np.zeros((2, length)),
        np.zeros((2, length)),
    )


def profile(checkpoint, lengths, text):
    streams = [angular_stream(s, "image", n, i) for i, (s, n) in enumerate(lengths.items())]
    streams += [angular_stream(s, "text", n, 9 + i) for i, (s, n) in enumerate(text.items())]
    return Profile(checkpoint, "noised", 8, np.linspace(0, 1, 4), lengths, tuple(streams), {})
