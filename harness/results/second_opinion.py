"""Other opinions than the judge's on which variant is worse: how far they rank alike, and where they part.

Harm, CLIP, FID/null, MMD and image drift are all read off the judge's network. An opinion of its own is the exact
checker of the bundled world, or an extra metric's network (DINOv2, PickScore, LPIPS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.results.arrays import Array
from harness.results.records import Measurement
from harness.results.statistics import Interval, by_prompt

CHECKER = "checker"
_LEAST = 4  # variants, below which a correlation says nothing
_SHOWN = 3  # variants that are named
_DRAWS = 1000


@dataclass(frozen=True)
class Parted:
    """A variant with its rank by harm and by the other opinion (1 is best; variants that are equal share the mean)."""

    case: str
    by_harm: float
    by_other: float


@dataclass(frozen=True)
class SecondOpinion:
    """How another measure ranks the same variants.

    ``alike`` is Spearman's correlation with harm over the variants, its 95 % interval over prompts drawn anew
    (bootstrap); ``alike_harmful`` is the same over the ``harmful`` variants with more harm than their median.
    ``ranks`` has every variant's rank by the other measure; ``parted`` are those whose two ranks differ most, and
    ``parted_harmful`` the same among the harmful ones, of which fewer are equal to the other measure.
    ``drift`` says that it is a distance from the control's images, which needs not be harm.
    """

    name: str
    drift: bool
    alike: Interval
    alike_harmful: float
    harmful: int
    ranks: Mapping[str, float]
    parted: tuple[Parted, ...]
    parted_harmful: tuple[Parted, ...]


def second_opinions(cases: Sequence[str], measured: Sequence[Measurement]) -> list[SecondOpinion]:
    """Every other opinion that all of a ranking's variants have, on the same prompts; none with under four variants.

    These are the checker's loss, an extra text scorer's harm, and an extra metric's distance from the control.
    """
    if len(cases) < _LEAST or any(m.prompts < 2 for m in measured):
        return []
    harms = np.stack([by_prompt(m.values["harm"], m.prompts) for m in measured])
    shared = [name for name in measured[0].values if all(name in m.values for m in measured)]
    out: list[SecondOpinion] = []
    for name in shared:
        label, drift = _opinion(name)
        if label:
            others = np.stack([by_prompt(m.values[name], m.prompts) for m in measured])
            out.append(_compared(label, drift, cases, harms, others))
    return out


def _opinion(name: str) -> tuple[str, bool]:
    """What a measurement's values of that name are called as an opinion, or nothing; and whether they are a drift."""
    metric, _, what = name.rpartition(".")
    if name == "grade_loss":
        return CHECKER, False
    if metric and what in ("harm", "distance"):
        return metric, what == "distance"
    return "", False


def _compared(name: str, drift: bool, cases: Sequence[str], harms: Array, others: Array) -> SecondOpinion:
    by_harm, by_other = (np.asarray(stats.rankdata(v.mean(axis=1)), dtype=np.float64) for v in (harms, others))
    grave = harms.mean(axis=1) > np.median(harms.mean(axis=1))
    rng = np.random.default_rng(0)
    prompts = harms.shape[1]
    drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=_DRAWS) / prompts
    sides = [stats.rankdata(drawn @ v.T, axis=1) for v in (harms, others)]
    alike = [_correlation(a, b) for a, b in zip(*sides, strict=True)]
    low, high = np.nanpercentile(alike, [2.5, 97.5]) if np.isfinite(alike).any() else (np.nan, np.nan)
    value = _correlation(by_harm, by_other)
    apart = np.abs(by_harm - by_other)
    order = [i for i in sorted(range(len(cases)), key=lambda i: (-apart[i], cases[i])) if apart[i] > 0]
    parted = [(i, Parted(cases[i], float(by_harm[i]), float(by_other[i]))) for i in order]
    return SecondOpinion(
        name=name,
        drift=drift,
        alike=Interval(value, min(float(low), value), max(float(high), value)),
        alike_harmful=_correlation(stats.rankdata(by_harm[grave]), stats.rankdata(by_other[grave])),
        harmful=int(grave.sum()),
        ranks={case: float(rank) for case, rank in zip(cases, by_other, strict=True)},
        parted=tuple(p for _, p in parted[:_SHOWN]),
        parted_harmful=tuple([p for i, p in parted if grave[i]][:_SHOWN]),
    )


def _correlation(a: Array, b: Array) -> float:
    """Of two sets of ranks; not a number where all of one side are equal."""
    x, y = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / norm if norm > 0 else float("nan")
