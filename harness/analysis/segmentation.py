"""Do the blocks of a stack fall into groups of like outputs? Exact segmentation, with "no" as an answer.

A Gram matrix of block outputs (cosines, say) is cut into K runs of neighbours. A run's cost is what its outputs
scatter about their mean, and no cut into K is cheaper than the one found. Such a cut exists for any matrix, so it
is judged twice: by how often its boundaries come back when prompts are drawn anew, and against a null without
groups (:func:`null_draws`).

The null is smooth decay: similarity is a falling function of the distance travelled between two blocks, and the
speed of travel changes smoothly with depth. What a matrix needs to beat it is a few steps that are far larger than
those around them. The null draws carry the data's own irregularity (how much single steps differ from the smooth
trend) and its sampling noise, and are cut as well as the data are. So:

- similarity that depends on |i - j| alone is in the null: it is the null with a constant speed;
- steps that are larger at the beginning, or at both ends, without plateaus, are in the null as well. Similarity
  averaged by |i - j| alone would call most of them groups;
- steps that differ irregularly from block to block are in the null as far as the middle half of them differ.

Measured false positives at .05 and power are in :func:`group`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from harness.ablation.ranges import range_text
from harness.analysis.layer_groups import Groups, StackGroups
from harness.analysis.profile import Profile, Stream
from harness.results.arrays import Array

Starts = npt.NDArray[np.intp]

GROUPS = 3  # first, middle, last
_MOST = 6  # groups that are tried
_LEVEL = 0.05
_LEAST = 6  # blocks, under which five steps or fewer don't tell a long one from an uneven path
_LEAST_SIMILARITY = 1e-3  # of neighbours, so that a step's logarithm stays finite


@dataclass(frozen=True)
class Grouping:
    """A stack's blocks cut into groups: group k is ``starts[k]`` up to the block before ``starts[k + 1]``.

    ``gain`` is the share of the whole stack's scatter that the cut takes away, ``null_gain`` what it takes away on
    average where there are no groups, ``p`` how often it takes away as much there. ``stability`` has for each inner
    boundary the share of bootstrap draws that put it at the same block, ``near`` at most one block off. Without
    ``structure`` (p above the level) the groups are only a partition, and should not be read as more.
    """

    stack: str
    stream: str
    length: int
    starts: tuple[int, ...]
    gain: float
    null_gain: float
    p: float
    stability: tuple[float, ...]
    near: tuple[float, ...]
    structure: bool

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """(first, last) block of each group, inclusive."""
        ends = (*self.starts[1:], self.length)
        return tuple((start, end - 1) for start, end in zip(self.starts, ends, strict=True))

    def __str__(self) -> str:
        figures = f"gain {self.gain:.2f}, {self.null_gain:.2f} without groups, p = {self.p:.3f}"
        if not self.structure:
            return f"{self.stack}: no block structure ({figures})"
        groups = ", ".join(range_text(first, last) for first, last in self.spans)
        return f"{self.stack}: {groups} ({figures})"


def segment_costs(gram: Array) -> Array:
    """(..., n, n + 1) cost of each half-open run [a, b) of (..., n, n) Gram matrices; infinite where b <= a.

    cost(a, b) = sum of K_ii - (sum of K_ij) / (b - a) over the run: the squared distances of its items to their
    mean. By prefix sums, O(1) each.
    """
    n = gram.shape[-1]
    square = np.zeros((*gram.shape[:-2], n + 1, n + 1))
    square[..., 1:, 1:] = gram.cumsum(axis=-1).cumsum(axis=-2)
    trace = np.zeros((*gram.shape[:-2], n + 1))
    trace[..., 1:] = np.diagonal(gram, axis1=-2, axis2=-1).cumsum(axis=-1)
    corner = np.diagonal(square, axis1=-2, axis2=-1)
    inside = corner[..., None, :] + corner[..., :, None] - square - np.swapaxes(square, -1, -2)
    size = np.arange(n + 1)[None, :] - np.arange(n + 1)[:, None]
    cost = trace[..., None, :] - trace[..., :, None] - inside / np.maximum(size, 1)
    return np.asarray(np.where(size > 0, cost, np.inf)[..., :n, :], dtype=np.float64)


def segment(gram: Array, most: int) -> tuple[Array, list[Starts]]:
    """The cheapest cuts of (..., n, n) Gram matrices into 1, 2 ... ``most`` runs, by dynamic programming.

    Returns the costs (..., most), and for each K the starts (..., K), the first of which is 0. Of equally cheap cuts
    the one with the earliest last boundary. Raises ValueError where there are fewer than ``most`` items.
    """
    n = gram.shape[-1]
    if not 1 <= most <= n:
        raise ValueError(f"{n} blocks can't be cut into {most} groups")
    cost = segment_costs(gram)
    total = cost[..., 0, :]  # (..., n + 1): the cheapest cut of the first b items into k runs
    totals, backs = [total[..., n]], []
    for _ in range(1, most):
        choices = total[..., :n, None] + cost  # a run [a, b) after the best cut of the first a items
        backs.append(choices.argmin(axis=-2))
        total = choices.min(axis=-2)
        totals.append(total[..., n])
    starts = []
    for k in range(1, most + 1):
        end = np.full(gram.shape[:-2], n)
        segments = []
        for back in backs[: k - 1][::-1]:
            end = np.take_along_axis(back, end[..., None], axis=-1)[..., 0]
            segments.append(end)
        starts.append(np.stack([np.zeros_like(end), *segments[::-1]], axis=-1))
    return np.stack(totals, axis=-1), starts


def null_draws(gram: Array, draws: Array, count: int, seed: int = 0) -> Array:
    """(count, n, n) Gram matrices like ``gram`` (n, n), but without groups: smooth decay along an uneven path.

    The step between neighbours is -log of their similarity. Its logarithm has a smooth trend over depth (a least
    absolute deviation fit, so that a few large steps don't bend it: quadratic from 10 blocks on, linear from 8,
    else constant) and scatters about it by 1.48 times the median absolute residual; dividing by a chi-square draw
    says how little is known of that scatter from so few steps. Similarity as a function of the distance along the
    trend is the monotone regression of all pairs. A draw is a path with the trend's steps scattered anew, as long as
    the fitted one, the function applied to its distances, made positive semidefinite, and one of the deviations of
    the bootstrap ``draws`` (R, n, n) from their mean as sampling noise (none where R is 0).
    """
    n = len(gram)
    rng = np.random.default_rng(seed)
    degree = 2 if n >= 10 else 1 if n >= 8 else 0
    similarity = np.clip(np.diagonal(gram, 1), _LEAST_SIMILARITY, 1 - 1e-9)
    fitted, residual = _trend(np.log(-np.log(similarity)), degree)
    # The fit passes through degree + 1 of the points: all but one of these zeros say nothing of the scatter.
    scatter = 1.4826 * float(np.median(np.sort(np.abs(residual))[degree:]))
    path = np.concatenate([[0.0], np.exp(fitted).cumsum()])
    i, j = np.triu_indices(n, 1)
    order = np.argsort(path[j] - path[i], kind="stable")
    distance = (path[j] - path[i])[order]
    falling = isotonic_regression(gram[i, j][order], increasing=False).x

    free = max(1, n - 2 - degree)
    spread = scatter * np.sqrt(free / rng.chisquare(free, size=(count, 1)))
    exponent = fitted + spread * rng.standard_normal((count, n - 1))
    steps = np.exp(exponent - exponent.max(axis=1, keepdims=True))  # only their shares count, and these can't overflow
    paths = np.zeros((count, n))
    paths[:, 1:] = (steps / steps.sum(axis=1, keepdims=True) * path[-1]).cumsum(axis=1)
    apart = np.abs(paths[:, :, None] - paths[:, None, :])
    level = float(np.mean(np.diagonal(gram)))
    simulated = np.interp(apart, np.concatenate([[0.0], distance]), np.concatenate([[level], falling]))
    values, vectors = np.linalg.eigh(simulated)
    simulated = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.swapaxes(1, 2)
    size = np.sqrt(np.diagonal(simulated, axis1=1, axis2=2) / level)
    simulated /= size[:, :, None] * size[:, None, :]
    if len(draws):
        simulated += draws[rng.integers(len(draws), size=count)] - draws.mean(axis=0)
    return np.asarray(simulated, dtype=np.float64)


def _trend(values: Array, degree: int) -> tuple[Array, Array]:
    """A polynomial over the place by least absolute deviations, and the residuals: reweighted least squares."""
    design = np.vander(np.linspace(-1.0, 1.0, len(values)), degree + 1)
    weights = np.ones(len(values))
    fitted = values
    for _ in range(30):
        root = np.sqrt(weights)
        fitted = design @ np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        weights = 1.0 / np.maximum(np.abs(values - fitted), 1e-3)
    return fitted, values - fitted


def gains(gram: Array, most: int) -> Array:
    """(..., most) share of the scatter that the best cut into 1, 2 ... ``most`` groups takes away.

    Where all outputs are alike but for rounding there is no scatter to take away, and the share is 0.
    """
    costs, _ = segment(gram, most)
    whole = costs[..., :1]
    some = whole > 1e-12 * np.trace(gram, axis1=-2, axis2=-1)[..., None]
    return np.asarray(np.where(some, 1.0 - costs / np.where(some, whole, 1.0), 0.0), dtype=np.float64)


def outputs(stream: Stream) -> tuple[Array, Array]:
    """(n, n) token-mean-centred cosines of the n blocks' outputs, and their (R, n, n) bootstrap draws.

    The first state, which is what enters block 0, is left out: a run of the rest is a range of blocks.
    """
    return stream.overall("centred")[1:, 1:], stream.draws[:, 1:, 1:]


@dataclass(frozen=True)
class GroupCount:
    """How many groups a stack's outputs fall into: ``count``, 1 where no number of groups beats the null.

    ``best`` is the number that stands out most, whether it beats the null or not, and ``p`` its p-value, corrected for
    having tried several. ``draws`` (R,) are the numbers that stand out most when prompts are drawn anew, 2 or more.
    """

    count: int
    best: int
    p: float
    draws: npt.NDArray[np.intp]


def count_groups(
    stream: Stream, most: int = _MOST, *, simulations: int = 199, level: float = _LEVEL, seed: int = 0
) -> GroupCount:
    """How many groups, 2 to ``most``, stand out most from the null.

    The number whose gain is furthest above the null's mean. Its surprise is judged in standard deviations of the
    null's gains, the greatest of all numbers against the greatest of each null draw, so that trying several numbers
    finds groups no more often than trying one. Two to five equal plateaus (12 and 38 blocks, 30 stacks each) are always
    counted right; where groups differ by long steps alone, without plateaus, the number is a rough one. A stack of
    fewer than 6 blocks has 1 at p = 1.
    """
    gram, draws = outputs(stream)
    most = min(most, len(gram) - 1)
    if most < 2 or len(gram) < _LEAST:
        return GroupCount(1, 1, 1.0, np.ones(len(draws), dtype=np.intp))
    observed = gains(gram, most)[1:]
    null = gains(null_draws(gram, draws, simulations, seed), most)[:, 1:]
    mean, spread = null.mean(axis=0), np.maximum(null.std(axis=0), 1e-12)
    chance = ((null - mean) / spread).max(axis=1)
    p = float((1 + np.sum(chance >= ((observed - mean) / spread).max())) / (1 + simulations))
    again = (gains(draws, most)[:, 1:] - mean).argmax(axis=1) + 2 if len(draws) else np.ones(0, dtype=np.intp)
    best = int((observed - mean).argmax()) + 2
    return GroupCount(best if p <= level else 1, best, p, again)


def group(
    stream: Stream, groups: int | None = None, *, simulations: int = 199, level: float = _LEVEL, seed: int = 0
) -> Grouping:
    """Cut one stack into ``groups`` (None: as many as :func:`count_groups` finds) and say whether that means anything.

    p = (1 + null draws that gain as much) / (1 + simulations); without a number it is that of count_groups, and where
    no number stands out the cut is into three (first, middle, last).

    Measured for three groups, on simulated stacks of 6, 8, 10, 12, 18, 38 blocks, 100 stacks each (50 of the last), at
    .05: of stacks with even, slowing, U-shaped or Gaussian decay 0 to 2 % are called structured, with irregular steps
    (lognormal, log-sd .3 or .6) 1 to 10 %. Three plateaus (cosine .9 inside, .6 across) are found in 84 % at 6 blocks
    and 100 % from 8 on; two steps eight times as long as the others in 47, 84, 100, 98, 97, 88 %, three times as long
    in 22 to 44 %. With fewer than 6 blocks nothing can be said: p is 1.

    Raises ValueError where the stack has fewer blocks than groups, or there is less than two groups.
    """
    counted = None
    if groups is None:
        counted = count_groups(stream, simulations=simulations, level=level, seed=seed)
        groups = counted.count if counted.count > 1 else GROUPS
    gram, draws = outputs(stream)
    n = len(gram)
    if groups < 2:
        raise ValueError(f"a cut has two groups or more, not {groups}")
    _, starts = segment(gram, groups)
    cut = starts[groups - 1]
    gain = float(gains(gram, groups)[-1])
    null = gains(null_draws(gram, draws, simulations, seed), groups)[:, -1]
    p = float((1 + np.sum(null >= gain)) / (1 + simulations)) if n >= _LEAST else 1.0
    p = p if counted is None else counted.p
    same = near = np.ones((0, groups - 1))
    if len(draws):
        again = segment(draws, groups)[1][groups - 1][:, 1:]
        off = np.abs(again - cut[1:])
        same, near = off == 0, off <= 1
    share = [tuple(map(float, each.mean(axis=0))) if len(draws) else () for each in (same, near)]
    return Grouping(
        stack=stream.stack,
        stream=stream.name,
        length=n,
        starts=tuple(map(int, cut)),
        gain=gain,
        null_gain=float(null.mean()),
        p=p,
        stability=share[0],
        near=share[1],
        structure=p <= level,
    )


def stored(profile: Profile, groupings: Sequence[Grouping]) -> Groups:
    """The groups of a checkpoint as they are written to ``baselines/<checkpoint>/groups.json``."""
    return Groups(
        checkpoint=profile.checkpoint,
        stacks={g.stack: StackGroups(g.length, g.starts, g.structure, g.p, g.stability) for g in groupings},
        measured={"setting": profile.setting, "prompts": str(profile.prompts), **profile.made_with},
    )
