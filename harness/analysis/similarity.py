"""Measures between the states of a stack, as running sums: nothing of a sample stays once it is added.

Everything is computed in float64 from states in the model's dtype, since angles of neighbouring states lie where
arccos is steepest. Memory: the tokens are taken in chunks of at most ``CHUNK`` bytes of float64 (for all states
together), of which at most three copies are alive at once: the chunk before, and the next one in the model's dtype
and in float64.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.analysis.profile import Stream
from harness.results.arrays import Array

CLAMP = 1.0 - 1e-7  # of cosines, before arccos: as the SD3.5-Large study does
TOKENS = 256  # at most, for CKA: evenly spaced ones
CHUNK = 64 * 2**20  # bytes
_LEAST = 4  # tokens, for the unbiased estimator of HSIC
_NOTHING = 1e-12  # of a token's own length: what is left of one that equals the mean token


@dataclass(frozen=True)
class Sample:
    """One sample's share: (D, D) cosines, raw and centred, (D, D) HSIC, and (D - 1,) angles; means over its tokens.

    ``hsic`` is None for fewer than four tokens.
    """

    cosine: Array
    centred: Array
    hsic: Array | None
    angular: Array
    angular_last: Array


def measure(states: Sequence[Tensor], kept: Tensor | None = None, *, chunk: int = CHUNK) -> Sample:
    """Measure D states of one sample, each (tokens, width).

    ``kept`` are the indices of the tokens that count (default: all); ``angular_last`` is of the very last one all
    the same. The cosine with a vector of no length is 0. Raises ValueError where no token counts.
    """
    first = states[0]
    kept = torch.arange(len(first), device=first.device) if kept is None else kept.to(first.device)
    tokens, depth = len(kept), len(states)
    if not tokens:
        raise ValueError("a sample needs at least one token that counts")
    size = max(1, chunk // (depth * first.shape[1] * 8))
    mean = torch.zeros(depth, first.shape[1], dtype=torch.float64, device=first.device)
    for part in _chunks(states, kept, size):
        mean += part.sum(dim=0)
    mean /= tokens
    cosine, centred = (torch.zeros(depth, depth, dtype=torch.float64, device=first.device) for _ in range(2))
    angular = torch.zeros(depth - 1, dtype=torch.float64, device=first.device)
    for part in _chunks(states, kept, size):
        lengths = part.norm(dim=-1)
        raw = _cosines(part, lengths, 0 * lengths)
        cosine += raw.sum(dim=0)
        angular += _angles(raw).sum(dim=0)
        moved = part.sub_(mean)
        centred += _cosines(moved, moved.norm(dim=-1), _NOTHING * lengths).sum(dim=0)
    end = torch.stack([state[-1] for state in states]).double()[None]
    last = _angles(_cosines(end, end.norm(dim=-1), 0 * end.norm(dim=-1)))[0]
    hsic = _hsic(states, kept[spaced(tokens, TOKENS).to(kept.device)]) if tokens >= _LEAST else None
    return Sample(
        cosine=_array(cosine / tokens),
        centred=_array(centred / tokens),
        hsic=None if hsic is None else _array(hsic),
        angular=_array(angular / tokens),
        angular_last=_array(last),
    )


def spaced(count: int, most: int) -> Tensor:
    """Indices of at most ``most`` evenly spaced ones out of ``count``, the first and the last among them."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def weights(prompt: str, draws: int) -> Array:
    """(R,) Poisson(1) weights of a prompt in each draw of the bootstrap.

    Chamandy et al. 2012, "Estimating uncertainty for massive data streams". They depend on the prompt's text and the
    draw's number alone, so that all its samples are drawn together.
    """
    raw = hashlib.shake_256(prompt.encode()).digest(8 * draws)
    uniform = np.frombuffer(raw, dtype="<u8").astype(np.float64) / 2.0**64
    steps = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(18)])
    return np.searchsorted(steps, uniform, side="right").astype(np.float64)


class StreamSums:
    """The running sums of one stream of one stack: D states, B bins of the noise level, R draws of the bootstrap."""

    def __init__(self, stack: str, name: str, depth: int, bins: int, draws: int) -> None:
        self.stack, self.name = stack, name
        self._count = np.zeros(bins)
        self._cosine, self._centred, self._hsic = (np.zeros((bins, depth, depth)) for _ in range(3))
        self._angular, self._last = (np.zeros((bins, depth - 1)) for _ in range(2))
        self._weight = np.zeros(draws)
        self._draws = np.zeros((draws, depth, depth))
        self._angular_draws, self._last_draws = (np.zeros((draws, depth - 1)) for _ in range(2))

    def add(self, sample: Sample, where: int, drawn: Array) -> None:
        """Add a sample to bin ``where``; ``drawn`` (R,) is how often each draw of the bootstrap has its prompt."""
        self._count[where] += 1
        self._cosine[where] += sample.cosine
        self._centred[where] += sample.centred
        if sample.hsic is not None:
            self._hsic[where] += sample.hsic
        self._angular[where] += sample.angular
        self._last[where] += sample.angular_last
        self._weight += drawn
        self._draws += drawn[:, None, None] * sample.centred
        self._angular_draws += drawn[:, None] * sample.angular
        self._last_draws += drawn[:, None] * sample.angular_last

    def stream(self) -> Stream:
        """The means over all samples so far. A draw in which no prompt was drawn is left out.

        CKA is the minibatch form (Nguyen et al. 2021, arXiv 2010.15327): unbiased HSIC is averaged over samples,
        and then the ratio is taken. NaN where every sample had fewer than four tokens.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            count = np.where(self._count > 0, self._count, np.nan)
            own = np.sqrt(np.diagonal(self._hsic, axis1=1, axis2=2))
            cka = self._hsic / (own[:, :, None] * own[:, None, :])
        drawn = self._weight > 0
        weight = self._weight[drawn]
        return Stream(
            stack=self.stack,
            name=self.name,
            count=self._count.copy(),
            cosine=self._cosine / count[:, None, None],
            centred=self._centred / count[:, None, None],
            cka=cka,
            angular=self._angular / count[:, None],
            angular_last=self._last / count[:, None],
            draws=self._draws[drawn] / weight[:, None, None],
            angular_draws=self._angular_draws[drawn] / weight[:, None],
            angular_last_draws=self._last_draws[drawn] / weight[:, None],
        )


def _chunks(states: Sequence[Tensor], kept: Tensor, size: int) -> Iterator[Tensor]:
    """(T, D, width) float64, of at most ``size`` of the tokens that count."""
    for start in range(0, len(kept), size):
        part = kept[start : start + size]
        yield torch.stack([state[part] for state in states], dim=1).double()


def _cosines(tokens: Tensor, lengths: Tensor, least: Tensor) -> Tensor:
    """(T, D, D) cosines between the D states of each of T tokens; vectors no longer than ``least`` count as none."""
    unit = 1 / torch.where(lengths > least, lengths, torch.inf)
    return (tokens @ tokens.mT) * unit[:, :, None] * unit[:, None, :]


def _angles(cosines: Tensor) -> Tensor:
    """(T, D - 1) angular distance (1/pi) arccos(cos) of consecutive states."""
    return cosines.diagonal(offset=1, dim1=-2, dim2=-1).clamp(-CLAMP, CLAMP).arccos() / math.pi


def _hsic(states: Sequence[Tensor], chosen: Tensor) -> Tensor:
    """(D, D) unbiased HSIC between linear kernels over n tokens (Song et al. 2012, equation 5).

    Written as an inner product of U-centred kernels (Szekely and Rizzo 2014), which is the same number.
    """
    n = len(chosen)
    table = torch.empty(len(states), n * n, dtype=torch.float64, device=states[0].device)
    for place, state in enumerate(states):
        rows = state[chosen].double()
        kernel = (rows @ rows.mT).fill_diagonal_(0.0)
        side = kernel.sum(dim=1) / (n - 2)
        kernel = kernel - side[:, None] - side[None, :] + kernel.sum() / ((n - 1) * (n - 2))
        table[place] = kernel.fill_diagonal_(0.0).flatten()
    return table @ table.mT / (n * (n - 3))


def _array(values: Tensor) -> Array:
    return np.asarray(values.cpu().numpy(), dtype=np.float64)
