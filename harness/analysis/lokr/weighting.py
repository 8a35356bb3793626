"""How large a LoKr each block should get: the SD3.5-Large layer study's weighting, as SimpleTuner's LyCORIS file.

Blocks that turn their states further get a smaller factor, which is more parameters. From maps (T, L) of the angular
distance by timestep bin and block, of the image and of the text:

1. clip each map at its own 90th percentile (over all its cells),
2. weigh: text / 3 + image * 2 / 3, and halve the sum,
3. mean over timestep bins (those without samples aside), then min-max over blocks to n in 0..1,
4. factor = round((1 - n) * 11 + 1), in 1..12,
5. critical blocks get 1.

SD3's last block returns no text, so its text map is one shorter: the image's is cut to it, and the last block copies
its neighbour's factor. Where both are equally long (FLUX, AuraFlow: their single blocks hold text and image side by
side), every block is weighed by both, and none copies. Several stacks are weighed as one, in running order.

The study shipped its factors and a figure of its timestep means, not its maps. From the means alone, a (1, L) map
each, read off the figure to about .003, this recipe gives 34 of the 37 shipped factors of weighed blocks exactly and
the other three one off. Other readings of it: no clipping, as the figure's values are capped at p95 already, 10
exact and 18 within one; one percentile for both maps together 33 and 37; min-max over the blocks that aren't critical
13 and 24.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.profile import REDUCTIONS, Profile
from harness.errors import HarnessError
from harness.models.spec import Family
from harness.results.arrays import Array

CLIP = 90  # percentile
TEXT, _IMAGE = 1 / 3, 2 / 3
_SMALLEST, _LARGEST = 1, 12
_OUTLIER = 95  # percentile, from which on a block is critical
_UNLIMITED = 1_000_000  # a linear_dim that no layer reaches: a full matrix


class LokrError(HarnessError, ValueError):
    """Angular distances that can't be weighed, or that don't fit the checkpoint."""


@dataclass(frozen=True)
class Weighting:
    """Per block: mean angular distance of image and text (L,), ``contribution`` n in 0..1 (L,), and the factor.

    ``text`` and ``contribution`` are NaN for a last block without text. ``critical`` are the blocks set to 1.
    """

    image: Array
    text: Array
    contribution: Array
    factors: tuple[int, ...]
    critical: tuple[int, ...]


def critical_blocks(image: npt.ArrayLike, text: npt.ArrayLike) -> tuple[int, ...]:
    """Blocks whose mean over timesteps reaches the 95th percentile of its stream's, in either stream.

    The study names its critical layers (0, 31, 35) without a rule; this one gives just those from its means: image 0
    and 35, text 0 and 31.
    """
    numbers: set[int] = set()
    for table in (image, text):
        means = _means(np.asarray(table, dtype=np.float64))
        numbers |= set(map(int, np.flatnonzero(means >= np.percentile(means, _OUTLIER))))
    return tuple(sorted(numbers))


def weigh(image: npt.ArrayLike, text: npt.ArrayLike, critical: Collection[int] | None = None) -> Weighting:
    """The factors of L blocks from ``image`` (T, L) and ``text`` (T, L) or (T, L - 1), as at the top of this file.

    A row of NaN is a bin without samples. ``critical`` is :func:`critical_blocks` where it is None. Raises LokrError
    for maps that don't go together, hold no sample, or say the same of every block, and for a critical block that
    isn't there.
    """
    a, b = (np.asarray(table, dtype=np.float64) for table in (image, text))
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or b.shape[1] not in (a.shape[1], a.shape[1] - 1) or a.size == 0:
        raise LokrError(f"maps of {a.shape} (bins, image) and {b.shape} (bins, text) don't go together")
    measured = ~np.isnan(a).all(axis=1) & ~np.isnan(b).all(axis=1)
    a, b = a[measured], b[measured]
    if not len(a) or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise LokrError("the maps hold no sample, or values that aren't finite; measure them again")
    length, weighed = a.shape[1], b.shape[1]
    if critical is None:
        critical = critical_blocks(a, b)
    outside = [block for block in critical if not 0 <= block < length]
    if outside:
        raise LokrError(f"critical block {outside[0]} is none of the {length} blocks (0-{length - 1})")

    clipped = [np.minimum(table, np.percentile(table, CLIP)) for table in (a, b)]
    combined = _means((_IMAGE * clipped[0][:, :weighed] + TEXT * clipped[1]) / 2)
    low, high = float(combined.min()), float(combined.max())
    if high - low < 1e-12:
        raise LokrError("every block turns its states as far as every other, so there is nothing to weigh by")
    share = (combined - low) / (high - low)
    factors = np.clip(np.rint((1 - share) * (_LARGEST - _SMALLEST) + _SMALLEST), _SMALLEST, _LARGEST).astype(int)
    factors[[block for block in critical if block < weighed]] = _SMALLEST
    whole = [*map(int, factors), *[int(factors[-1])] * (length - weighed)]
    if length - 1 in critical:
        whole[-1] = _SMALLEST
    pad = np.full(length - weighed, np.nan)
    return Weighting(
        image=_means(a),
        text=np.concatenate([_means(b), pad]),
        contribution=np.concatenate([share, pad]),
        factors=tuple(whole),
        critical=tuple(sorted(critical)),
    )


def _means(table: Array) -> Array:
    """(L,) means over the bins that hold samples."""
    return np.asarray(np.nanmean(table, axis=0), dtype=np.float64)


def maps(profile: Profile, stacks: Sequence[str], reduction: str = REDUCTIONS[0]) -> tuple[Array, Array]:
    """A profile's angular distances as one (B, L) map of the image and one of the text, stacks in running order.

    ``reduction`` over tokens is one of REDUCTIONS; the study's is ``last``.

    Raises LokrError where the profile lacks a stack.
    """
    try:
        streams = [[profile.stream(stack, name) for stack in stacks] for name in ("image", "text")]
    except KeyError as error:
        raise LokrError(f"the profile of {profile.checkpoint} has {error.args[0]}; measure this checkpoint") from None
    image, text = (np.concatenate([stream.angles(reduction) for stream in each], axis=1) for each in streams)
    return image, text


def blocks(family: Family, lengths: Mapping[str, int]) -> list[str]:
    """The modules of all blocks in running order: ``transformer_blocks.0`` and so on."""
    return [f"{stack.attribute}.{i}" for stack in family.stacks for i in range(lengths[stack.name])]


def lycoris(
    family: Family, lengths: Mapping[str, int], factors: Sequence[int], *, as_published: bool = False
) -> dict[str, Any]:
    """SimpleTuner's ``lycoris_config.json`` for a model whose stacks have ``lengths`` blocks, one factor each.

    A layer is ruled by the first pattern of ``name_algo_map`` that its name fits (fnmatch, where ``*`` crosses dots).

    The study's file has no pattern that fits a block's own name. LyCORIS (3.1.0 and 4.1.3, run) then takes each block
    as a whole because of its class, before it comes to the layers' patterns, and gives *all* its layers the entry that
    it looked up last: block N trains at the factor of block N - 1, attention too, and block 0 at 1. So two patterns a
    stack are added at the end, which fit the blocks themselves and no layer. ``as_published`` leaves them out.

    Raises LokrError for another number of factors than blocks.
    """
    names = blocks(family, lengths)
    if len(factors) != len(names):
        raise LokrError(f"{len(factors)} factors for {len(names)} blocks")
    rules = dict(_rules(family, lengths, factors))
    if not as_published:
        for stack in family.stacks:
            for digits in range(1, len(str(lengths[stack.name] - 1)) + 1):
                rules[f"{stack.attribute}.{'[0-9]' * digits}"] = _rule(_SMALLEST)
    return {
        "algo": "lokr",
        "multiplier": 1.0,
        "linear_dim": _UNLIMITED,
        "linear_alpha": 1,
        "factor": 1,
        "full_matrix": True,
        "apply_preset": {
            "target_module": [stack.block for stack in family.stacks],
            "name_algo_map": rules,
            "use_fnmatch": True,
        },
    }


def _rules(family: Family, lengths: Mapping[str, int], factors: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    left = iter(factors)
    for stack in family.stacks:
        for i in range(lengths[stack.name]):
            factor = next(left)
            for part in stack.lokr_at_factor:
                yield f"{stack.attribute}.{i}.{part}", _rule(factor)
            yield f"{stack.attribute}.{i}.*", _rule(2 * factor)


def _rule(factor: int) -> dict[str, Any]:
    return {"algo": "lokr", "factor": factor, "linear_dim": _UNLIMITED, "linear_alpha": 1, "full_matrix": True}


def dump(config: Mapping[str, Any]) -> str:
    """The file's text; the order of the patterns is kept, since the first that fits is the one that counts."""
    return json.dumps(config, indent=2) + "\n"
