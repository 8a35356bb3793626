"""The check that a judge has to pass before anything is ranked or gated by it.

The control's images of some prompts have to score above grey images, noise and the images of other prompts, and the
score has to fall along three ladders of growing damage: blur, noise and fewer pixels. A judge that doesn't read its
prompt, prefers blank or soft images, or has random weights fails. It costs 12 images a prompt to embed, no sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from harness.results.arrays import Features, Images, Values
from harness.results.judge_check import JudgeCheck
from harness.results.statistics import mean_interval

LEAST = 8  # prompts, below which nothing can be said for sure
MOST = 16  # prompts that are looked at
_LEVEL = 0.98  # of the two-sided intervals: each comparison may be wrong once in a hundred times on either side
_CELLS = 40  # noise has so many cells on a side: finer noise is gone when a large image is resized for the judge
_RUNGS = 3
_WIDE = 4.0  # pixels; from here on a blur is made of box filters


class ScoresImages(Protocol):
    """What is asked of a judge: :class:`harness.metrics.judge.OpenClipJudge` has it."""

    def embed_images(self, images: Images) -> Features:
        """(N, 3, H, W) uint8 to (N, d) features."""
        ...

    def score(self, features: Features, texts: Sequence[str]) -> npt.NDArray[np.floating]:
        """(N,) scores of features with their texts."""
        ...


def check_judge(judge: ScoresImages, images: Images, prompts: Sequence[str], *, overruled: bool = False) -> JudgeCheck:
    """Check a judge on the control's images, one a prompt, of at most MOST prompts spread evenly over the set.

    ``overruled`` says that its result shall not keep anyone from ranking. Blanks, noise, other prompts' images and the
    last rung of each ladder must score surely lower than the control's images, and no rung surely higher than the one
    before it (Student's t of the paired differences over prompts, 1 % on either side).
    """
    if len(prompts) < LEAST:
        few = f"that needs {LEAST} prompts, there are {len(prompts)}"
        return JudgeCheck(len(prompts), None, unchecked=few, overruled=overruled)
    chosen = np.unique(np.linspace(0, len(prompts) - 1, MOST).round().astype(int))
    some, texts = images[chosen], [prompts[i] for i in chosen]
    features = judge.embed_images(some)
    control = _scores(judge, features, texts)
    scores = {name: _scores(judge, judge.embed_images(worse), texts) for name, worse in _flat_and_noise(some)}
    scores["other prompts"] = _of_other_prompts(judge, features, texts)
    ladders = {
        name: [control, *(_scores(judge, judge.embed_images(rung), texts) for rung in rungs)]
        for name, rungs in _ladders(some)
    }
    faults = [fault for name, values in scores.items() if (fault := _not_lower(name, control - values))]
    for name, rungs in ladders.items():
        faults += _faults_of_ladder(name, rungs)
        scores |= {f"{name} {i}": values for i, values in enumerate(rungs[1:], start=1)}
    return JudgeCheck(
        prompts=len(texts),
        score=round(float(control.mean()), 4),
        lower={name: round(float((control - values).mean()), 4) for name, values in scores.items()},
        faults=tuple(faults),
        overruled=overruled,
    )


def _scores(judge: ScoresImages, features: Features, texts: Sequence[str]) -> Values:
    return judge.score(features, texts).astype(np.float64)


def _of_other_prompts(judge: ScoresImages, features: Features, texts: Sequence[str]) -> Values:
    """(N,) for each prompt the mean score of the images of all other prompts."""
    shifts = range(1, len(texts))
    return np.mean([_scores(judge, np.roll(features, shift, axis=0), texts) for shift in shifts], axis=0)


def _not_lower(name: str, loss: Values) -> str:
    """A fault where the loss from the control's images to worse ones isn't surely above 0."""
    interval = mean_interval(loss, _LEVEL)
    if interval.low > 0:
        return ""
    return (
        f"{_NAMES.get(name, name)} are not surely scored lower than the control's images "
        f"(by {interval.value:.2f} points, {interval.low:.2f} to {interval.high:.2f})"
    )


def _faults_of_ladder(name: str, rungs: Sequence[Values]) -> Iterator[str]:
    last = _not_lower(name, rungs[0] - rungs[-1])
    if last:
        yield last
    for i, (before, after) in enumerate(pairwise(rungs)):
        gain = mean_interval(after - before, _LEVEL)
        if gain.low > 0:
            yield f"{name} of strength {i + 1} scores higher than of strength {i} ({gain.value:+.2f} points)"


_NAMES: Mapping[str, str] = {
    "blank": "blank images",
    "noise": "images of noise",
    "other prompts": "images of other prompts",
    "blur": "the most blurred images",
    "grain": "the noisiest images",
    "pixels": "images of the fewest pixels",
}


def _flat_and_noise(images: Images) -> Iterator[tuple[str, Images]]:
    yield "blank", np.full_like(images, 128)
    rng = np.random.default_rng(0)
    yield "noise", _upscaled(rng.integers(0, 256, (len(images), 3, _CELLS, _CELLS)), images).astype(np.uint8)


def _ladders(images: Images) -> Iterator[tuple[str, Iterator[Images]]]:
    """Each kind of damage with images from slightly to badly damaged, made one strength at a time."""
    rng = np.random.default_rng(1)
    grain = rng.normal(0.0, 255.0, (len(images), 3, _CELLS, _CELLS))
    kinds: dict[str, Callable[[Images, int], Images]] = {
        "blur": _blurred,
        "grain": lambda some, rung: _bytes(some + 0.05 * 2**rung * _upscaled(grain, some)),
        "pixels": _coarse,
    }
    for name, damaged in kinds.items():
        yield name, (damaged(images, rung) for rung in range(1, _RUNGS + 1))


def _blurred(images: Images, rung: int) -> Images:
    """By a Gaussian of 2, 4 and 8 % of the shorter side."""
    sigma = 0.01 * 2**rung * min(images.shape[2:])
    pixels = images.astype(np.float32)
    if sigma < _WIDE:
        return _bytes(ndimage.gaussian_filter(pixels, (0, 0, sigma, sigma), mode="nearest"))
    # Three box filters come close to a wide Gaussian, and what they cost doesn't depend on the width. An even one would
    # move the image by half a pixel.
    width = 2 * round((np.sqrt(4 * sigma**2 + 1) - 1) / 2) + 1
    for axis in (2, 3) * 3:
        pixels = ndimage.uniform_filter1d(pixels, width, axis=axis, mode="nearest")
    return _bytes(pixels)


def _coarse(images: Images, rung: int) -> Images:
    """As mosaics of 20, 10 and 5 cells on a side."""
    cells = _CELLS // 2**rung
    # Rounded up: a pixel p is of the cell p * cells // side.
    rows, columns = (-(-np.arange(cells) * side // cells) for side in images.shape[2:])
    sums = np.add.reduceat(np.add.reduceat(images.astype(np.float64), rows, axis=2), columns, axis=3)
    sizes = [np.diff([*starts, side]) for starts, side in zip((rows, columns), images.shape[2:], strict=True)]
    return _bytes(_upscaled(sums / np.outer(*sizes), images))


def _upscaled(cells: npt.NDArray[np.generic], images: Images) -> Values:
    """(N, 3, h, w) cells at the size of the images, by the nearest."""
    rows, columns = (
        np.arange(side) * count // side for side, count in zip(images.shape[2:], cells.shape[2:], strict=True)
    )
    return cells[:, :, rows][:, :, :, columns].astype(np.float64)


def _bytes(pixels: npt.NDArray[np.floating]) -> Images:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
