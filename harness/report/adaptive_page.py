"""What an adaptive ranking saves and loses, by replaying exhaustive runs: the table in docs/measurement.md.

    python -m harness.report.adaptive_page reports/RUN [FIRST_SEED]

Each variant's harms of all prompts are in the run's journal. A replay takes the prompts in another order and stops
variants as an adaptive run would; what it ranks then is compared with the run's own ranking of all prompts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.markdown import markdown_table
from harness.report.text import number
from harness.results.adaptive import look, prompt_order, replay
from harness.results.arrays import Array
from harness.results.journal import read
from harness.results.rank_intervals import rank_intervals
from harness.results.records import Kind, Record
from harness.results.statistics import by_prompt

ORDERS = 20


@dataclass(frozen=True)
class Agreement:
    """One replay against the exhaustive ranking.

    ``images`` is the share of the variants' images that were made. ``tau`` is Kendall's over all pairs of variants,
    ``tau_apart`` over those in different tiers of the exhaustive ranking. ``first_tier`` is the number of variants that
    the replay puts into tier 1 and the exhaustive ranking doesn't, or the other way round.
    """

    images: float
    tau: float
    tau_apart: float
    first_tier: int


def agreement(table: npt.ArrayLike, tiers: Sequence[int | None], measured: Sequence[Array]) -> Agreement:
    """Of the harms that were ``measured`` of each variant, with a (V, P) ``table`` of all of them and its ``tiers``."""
    harms = np.asarray(table, dtype=np.float64)
    means = np.array([harm.mean() for harm in measured])
    first, second = np.triu_indices(len(harms), 1)
    whole = harms.mean(axis=1)
    signs = np.sign((means[first] - means[second]) * (whole[first] - whole[second]))
    tier = np.array(tiers)
    apart = tier[first] != tier[second]
    differing = (tier == 1) != np.array(look(measured, harms.shape[1]).first_tier)
    return Agreement(
        images=sum(map(len, measured)) / harms.size,
        tau=float(stats.kendalltau(means, whole).statistic),
        tau_apart=float(signs[apart].mean()),
        first_tier=int(differing.sum()),
    )


def replays(table: npt.ArrayLike, categories: Sequence[str], first_seed: int = 0) -> list[Agreement]:
    """The agreement in each of :data:`ORDERS` orders of the prompts, drawn with seeds from ``first_seed`` on."""
    tiers = rank_intervals(table).tier
    return [
        agreement(table, tiers, replay(table, prompt_order(categories, seed)))
        for seed in range(first_seed, first_seed + ORDERS)
    ]


def uniform(table: npt.ArrayLike, categories: Sequence[str], count: int, first_seed: int = 0) -> list[Agreement]:
    """The same where every variant has the first ``count`` prompts, for comparison."""
    tiers = rank_intervals(table).tier
    harms = np.asarray(table, dtype=np.float64)
    return [
        agreement(table, tiers, list(harms[:, list(prompt_order(categories, seed)[:count])]))
        for seed in range(first_seed, first_seed + ORDERS)
    ]


def page(records: Sequence[Record], first_seed: int = 0) -> str:
    """The table: a row for each checkpoint's adaptive replay, and one for equal numbers of prompts."""
    rows: list[tuple[str, ...]] = []
    for checkpoint in dict.fromkeys(record.checkpoint for record in records):
        mine = [r for r in records if r.checkpoint == checkpoint and r.measurement is not None]
        measured = [r.measurement for r in mine if r.kind is Kind.QUALITY and r.measurement is not None]
        control = next((r.measurement for r in mine if r.kind is Kind.CONTROL), None)
        prompts = max(m.prompts for m in measured)
        table = np.stack([by_prompt(m.values["harm"], prompts) for m in measured if m.prompts == prompts])
        categories = (control.categories if control is not None else ()) or ("",) * prompts
        tiers = rank_intervals(table).tier
        about = f"{checkpoint}, {len(table)} variants, {sum(tier == 1 for tier in tiers)} in tier 1"
        rows.append(_row(about, "adaptive", replays(table, categories, first_seed)))
        rows += [
            _row(about, f"{count} prompts each", uniform(table, categories, count, first_seed))
            for count in (prompts // 8, prompts // 4, prompts // 2)
        ]
    head = ("exhaustive run", "measured", "images %", "tau, all pairs", "tau, pairs in two tiers", "tier 1 differs by")
    return "\n".join(markdown_table(head, rows))


def _row(about: str, how: str, found: Sequence[Agreement]) -> tuple[str, ...]:
    images, tau, apart, differing = (
        np.array([getattr(each, name) for each in found]) for name in ("images", "tau", "tau_apart", "first_tier")
    )
    return (
        about,
        how,
        f"{number(100 * float(np.median(images)), '.0f')} ({number(100 * float(images.max()), '.0f')})",
        f"{number(float(np.median(tau)), '.2f')} ({number(float(tau.min()), '.2f')})",
        f"{number(float(np.median(apart)), '.2f')} ({number(float(apart.min()), '.2f')})",
        f"{np.median(differing):.0f} ({differing.max()}); none in {(differing == 0).sum()} of {len(found)}",
    )


if __name__ == "__main__":
    print(page(read(Path(sys.argv[1])), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
