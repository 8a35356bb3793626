"""Slow references for the analysis: every activation of every forward is kept, and read by hand-written rules."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np

from harness.analysis.similarity import CLAMP, weights
from harness.models.stacks import stacks
from tests.helpers.models import one_tensor

# Every word of the world is one token; T5 adds an end, CLIP a start and an end.
CLIP, REGISTERS = 20, 8  # tokens of the bundled sd3's CLIPs; AuraFlow's own


def cosine(a, b):
    size = math.sqrt(a @ a) * math.sqrt(b @ b)
    return float(a @ b / size) if size else 0.0  # AuraFlow's pads enter its first block as zeros


def angle(a, b):
    return math.acos(min(CLAMP, max(-CLAMP, cosine(a, b)))) / math.pi


def song(x, y):
    """Unbiased HSIC as Song et al. 2012 write it: kernels without their diagonals."""
    n = len(x)
    k, other = x @ x.T, y @ y.T
    for kernel in (k, other):
        np.fill_diagonal(kernel, 0.0)
    one = np.ones(n)
    total = np.trace(k @ other) + one @ k @ one * (one @ other @ one) / ((n - 1) * (n - 2))
    return float((total - 2 / (n - 2) * (one @ k @ other @ one)) / (n * (n - 3)))


def slow(states, kept, tokens=256):
    """(cosine, centred, hsic, angular, last) of D (tokens, width) arrays, by plain loops."""
    whole = [np.asarray(s, dtype=np.float64) for s in states]
    states = [s[kept] for s in whole]
    depth, n = len(states), len(kept)
    raw, centred, hsic = np.zeros((depth, depth)), np.zeros((depth, depth)), np.full((depth, depth), np.nan)
    angular, last = np.zeros(depth - 1), np.zeros(depth - 1)
    chosen = [round(i * (n - 1) / (min(n, tokens) - 1)) for i in range(min(n, tokens))] if n > 1 else [0]
    for i in range(depth):
        for j in range(depth):
            a, b = states[i] - states[i].mean(axis=0), states[j] - states[j].mean(axis=0)
            raw[i, j] = np.mean([cosine(states[i][t], states[j][t]) for t in range(n)])
            centred[i, j] = np.mean([cosine(a[t], b[t]) for t in range(n)]) if n > 1 else 0.0
            if n >= 4:
                hsic[i, j] = song(states[i][chosen], states[j][chosen])
    for i in range(depth - 1):
        angular[i] = np.mean([angle(states[i][t], states[i + 1][t]) for t in range(n)])
        last[i] = angle(whole[i][-1], whole[i + 1][-1])
    return raw, centred, hsic, angular, last


def text_tokens(family, prompt):
    """Places of a world prompt's tokens in the text stream."""
    words = len(prompt.split())
    t5 = list(range(words + 1))
    if family == "sd3":
        return [*range(words + 2), *(CLIP + i for i in t5)]
    return [REGISTERS + i for i in t5] if family == "auraflow" else t5


@contextmanager
def stored(transformer):
    """A growing list with one entry a forward: its timestep and, by stack, every block's (input, output)."""
    forwards, handles = [], []

    def start(_module, args, kwargs):
        forwards.append({"timestep": float(kwargs["timestep"][-1]), "text": kwargs["encoder_hidden_states"]})

    handles.append(transformer.register_forward_pre_hook(start, with_kwargs=True))
    for stack, attribute in stacks(transformer).items():
        for block in getattr(transformer, attribute):

            def keep(_block, args, kwargs, out, stack=stack):
                assert not args
                given = (kwargs.get("encoder_hidden_states"), kwargs["hidden_states"])
                out = out if isinstance(out, tuple) else (None, out)
                pair = [[None if t is None else t.clone() for t in side] for side in (given, out)]
                forwards[-1].setdefault(stack, []).append(pair)

            handles.append(block.register_forward_hook(keep, with_kwargs=True))
    try:
        yield forwards
    finally:
        for handle in handles:
            handle.remove()


def states(transformer, forward, stack, text):
    """Stream -> its states (rows, tokens, width); ``text`` is the length of the text stream."""
    pairs = forward[stack]
    flat = [pairs[0][0], *(out for _, out in pairs)]
    if one_tensor(transformer, stack):
        return {"text": [both[:, :text] for _, both in flat], "image": [both[:, text:] for _, both in flat]}
    return {"text": [t for t, _ in flat if t is not None], "image": [i for _, i in flat]}


def reference(transformer, family, parts, level, edges, draws):
    """(stack, stream) -> all measures, from ``parts``: pairs of prompts and the stored forwards of their batch.

    ``level`` makes the noise level of a timestep. The rows of a batch that count are the last ones.
    """
    text = {"flux": 20, "sd3": CLIP + 20, "auraflow": REGISTERS + 20}[family]
    samples = {}
    for prompts, forwards in parts:
        for forward in forwards:
            place = min(np.searchsorted(edges, level(forward["timestep"]), side="right") - 1, len(edges) - 2)
            for stack in stacks(transformer):
                for name, own in states(transformer, forward, stack, text).items():
                    for row, prompt in enumerate(prompts):
                        rows = [s[row - len(prompts)].double().numpy() for s in own]
                        kept = text_tokens(family, prompt) if name == "text" else list(range(rows[0].shape[0]))
                        samples.setdefault((stack, name), []).append((prompt, place, slow(rows, kept)))
    return {key: _together(found, len(edges) - 1, draws) for key, found in samples.items()}


def _together(found, bins, draws):
    count = np.array([sum(b == place for _, place, _ in found) for b in range(bins)], dtype=float)

    def mean(which):
        return np.array([np.mean([m[which] for _, place, m in found if place == b], axis=0) for b in range(bins)])

    hsic = mean(2)
    own = np.sqrt(np.diagonal(hsic, axis1=1, axis2=2))
    table = np.array([weights(prompt, draws) for prompt, _, _ in found]).T
    table = table[table.sum(axis=1) > 0]
    return {
        "count": count,
        "cosine": mean(0),
        "centred": mean(1),
        "cka": hsic / (own[:, :, None] * own[:, None, :]),
        "angular": mean(3),
        "angular_last": mean(4),
        "draws": np.array([np.average([m[1] for _, _, m in found], axis=0, weights=w) for w in table]),
        "angular_draws": np.array([np.average([m[3] for _, _, m in found], axis=0, weights=w) for w in table]),
        "angular_last_draws": np.array([np.average([m[4] for _, _, m in found], axis=0, weights=w) for w in table]),
    }


def assert_same(profile, expected):
    """Every array of every stream within 1e-5."""
    assert {(s.stack, s.name) for s in profile.streams} == set(expected)
    for (stack, name), arrays in expected.items():
        stream = profile.stream(stack, name)
        for what, values in arrays.items():
            np.testing.assert_allclose(
                getattr(stream, what), values, rtol=0, atol=1e-5, err_msg=f"{stack} {name} {what}"
            )
