"""How often the printed intervals hold the truth, on normal data and on real harms: the table in docs/measurement.md.

The real harms are those of every case of ``cases/test_flux.py`` on 512 prompts (``real_harms.safetensors``, made by
``population.py`` beside this file), and the truth is their mean over all of these prompts. A simulated run draws its
prompts from them with replacement. About ten minutes on one core, from the repository's root:

    python -m tests.simulations.coverage
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.findings.intervals import share
from harness.markdown import markdown_table
from harness.results.arrays import Array
from harness.results.rank_intervals import critical_t, rank_intervals
from harness.results.statistics import Interval, mean_interval, seed_sd_interval, speed_up
from tests.simulations.real import real_harms, real_log_ratios, real_scores

Draw = Callable[[np.random.Generator], tuple[Array, Array]]  # (a sample with prompts last, the true means)


@dataclass(frozen=True)
class Coverage:
    """How often an interval held the truth, of ``count`` simulated runs; or lay above it, or below it."""

    held: float
    above: float
    below: float
    count: int


def covered(intervals: Iterable[tuple[Interval, float]]) -> Coverage:
    """Count (interval, truth) pairs."""
    rows = np.array([(i.low <= truth <= i.high, i.low > truth, i.high < truth) for i, truth in intervals], dtype=float)
    return Coverage(*map(float, rows.mean(axis=0)), len(rows))


def students(values: Array, level: float = 0.95) -> Interval:
    """Student's t alone, for comparison with :func:`mean_interval`."""
    half = stats.t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def means(
    population: Array, prompts: int, runs: int, rng: np.random.Generator, interval: Callable[[Array], Interval]
) -> Iterator[tuple[Interval, float]]:
    """The interval of a mean over ``prompts`` values drawn from a (N,) population, ``runs`` times, with the truth."""
    for _ in range(runs):
        yield interval(rng.choice(population, prompts)), float(population.mean())


def normal(variants: int, prompts: int) -> Draw:
    """Equal variants with independent normal harms."""
    return lambda rng: (rng.normal(size=(variants, prompts)), np.zeros(variants))


def real(variants: int, prompts: int) -> Draw:
    """Some of the real variants on prompts drawn anew."""
    harms = real_harms()

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        some = harms[rng.choice(len(harms), variants, replace=False)]
        return some[:, rng.integers(some.shape[1], size=prompts)], some.mean(axis=1)

    return draw


def all_pairs(draw: Draw, runs: int, rng: np.random.Generator, draws: int = 1000) -> tuple[float, float]:
    """(how often all differences of two variants lay within the critical |t| of their truth, its median)."""
    held, critical = [], []
    for _ in range(runs):
        sample, truth = draw(rng)
        first, second = np.triu_indices(len(sample), 1)
        gap = (sample[first] - sample[second]).T
        limit = critical_t(gap, draws=draws, seed=int(rng.integers(2**31)))
        error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap))
        held.append(bool((np.abs(gap.mean(axis=0) - (truth[first] - truth[second])) <= limit * error).all()))
        critical.append(limit)
    return float(np.mean(held)), float(np.median(critical))


def rank_errors(draw: Draw, runs: int, rng: np.random.Generator) -> tuple[float, float]:
    """(how often all rank intervals held the true ranks, how often the first variants of tiers were in wrong order)."""
    held, wrong = [], []
    for _ in range(runs):
        sample, truth = draw(rng)
        ranks = rank_intervals(sample, draws=1000, seed=int(rng.integers(2**31)))
        true = stats.rankdata(truth)
        held.append(bool(((np.array(ranks.low) <= true) & (true <= np.array(ranks.high))).all()))
        mean = sample.mean(axis=1)
        tiers = [t for t in ranks.tier if t is not None]
        firsts = [
            truth[min((i for i, t in enumerate(tiers) if t == tier), key=lambda i: mean[i])]
            for tier in sorted(set(tiers))
        ]
        wrong.append(bool((np.diff(firsts) <= 0).any()) if len(firsts) > 1 else False)
    return float(np.mean(held)), float(np.mean(wrong))


def speed_ups(rounds: int, runs: int, rng: np.random.Generator) -> Iterator[tuple[Interval, float]]:
    """The interval of a speed-up of 1 from ``rounds`` real residuals of one case, drawn with replacement."""
    residuals = real_log_ratios()
    for _ in range(runs):
        ratio = rng.choice(residuals[rng.integers(len(residuals))], rounds)
        yield speed_up(np.exp(ratio), np.ones(rounds)), 1.0


def rare_losses(count: int, rng: np.random.Generator, losing: float = 0.05) -> tuple[Array, Array]:
    """(part, whole) of ``count`` prompts, of which a share ``losing`` loses all and the others nothing."""
    whole = 10.0 + 2.0 * rng.normal(size=count)
    return np.where(rng.random(count) < losing, whole, 0.0) + 0.3 * rng.normal(size=count), whole


def shares(prompts: int, runs: int, rng: np.random.Generator) -> Iterator[tuple[Interval, float]]:
    """The interval of a share of .05, where 5 % of the prompts lose all."""
    for _ in range(runs):
        yield share(*rare_losses(prompts, rng))(0.95), 0.05


def units(prompts: int, seeds: int, runs: int, rng: np.random.Generator) -> Iterator[tuple[Interval, float]]:
    """The interval of the unit of harm from ``prompts`` of the real prompts; the truth is that of all of them."""
    scores = real_scores()
    truth = float(np.sqrt(scores.var(axis=1, ddof=1).mean()))
    for _ in range(runs):
        columns = rng.permutation(scores.shape[1])[:seeds]
        yield seed_sd_interval(scores[rng.integers(len(scores), size=prompts)][:, columns]), truth


def table(scale: float) -> str:
    """All of it as Markdown; ``scale`` multiplies the numbers of simulated runs."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, ...]] = []

    def runs(count: int) -> int:
        return max(10, round(count * scale))

    def row(what: str, coverage: Coverage) -> None:
        sides = f"{coverage.above:.3f} above, {coverage.below:.3f} below"
        rows.append((what, ".95", f"{coverage.held:.3f}", sides, f"{coverage.count:,}"))
        print(rows[-1], file=sys.stderr, flush=True)

    harms = real_harms()
    for prompts in (64, 48, 16, 8):
        for name, interval in (("Student's t alone", students), ("as printed", mean_interval)):
            found = [covered(means(h, prompts, runs(300), rng, interval)) for h in harms]
            whole = Coverage(*(float(np.mean([getattr(f, k) for f in found])) for k in ("held", "above", "below")), 0)
            worst = min(f.held for f in found)
            sides = f"{whole.above:.3f} above, {whole.below:.3f} below; least of {len(harms)} variants {worst:.3f}"
            what = f"harm, real, {prompts} prompts, {name}"
            rows.append((what, ".95", f"{whole.held:.3f}", sides, f"{len(harms) * found[0].count:,}"))
            print(rows[-1], file=sys.stderr, flush=True)
    for prompts in (48, 16):
        row(
            f"harm, normal, {prompts} prompts",
            covered(means(rng.normal(size=100_000), prompts, runs(10_000), rng, mean_interval)),
        )
    part, _ = rare_losses(100_000, rng)
    row("harm, 5 % of prompts lose all, 64 prompts", covered(means(part, 64, runs(5_000), rng, mean_interval)))
    row("share of a harm, 5 % of prompts lose all, 64 prompts", covered(shares(64, runs(2_000), rng)))
    row("share of a harm, 5 % of prompts lose all, 16 prompts", covered(shares(16, runs(2_000), rng)))
    for prompts, seeds in ((64, 4), (64, 8), (256, 4)):
        row(f"unit of harm, real, {prompts} prompts x {seeds} seeds", covered(units(prompts, seeds, runs(3_000), rng)))
    for rounds in (12, 8, 24):
        row(f"speed-up, real residuals, {rounds} rounds", covered(speed_ups(rounds, runs(10_000), rng)))
    sizes = ((57, 64), (22, 48), (22, 16), (10, 16), (10, 8))
    for kind, source in (("normal", normal), ("real", real)):
        for variants, prompts in sizes:
            count = runs(300 if variants > 30 else 600)
            held, critical = all_pairs(source(variants, prompts), count, rng)
            what = f"all pairs of variants at once, {kind}, {variants} x {prompts} prompts"
            rows.append((what, ".95", f"{held:.3f}", f"critical \\|t\\| {critical:.1f}", f"{count:,}"))
            print(rows[-1], file=sys.stderr, flush=True)
    for variants, prompts in ((57, 64), (22, 48)):
        count = runs(300)
        held, wrong = rank_errors(real(variants, prompts), count, rng)
        what = f"all rank intervals at once, real, {variants} x {prompts} prompts"
        rows.append(
            (what, ".95", f"{held:.3f}", f"first variants of two tiers in wrong order: {wrong:.3f}", f"{count:,}")
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join(markdown_table(("interval", "nominal", "measured", "misses", "runs"), rows)).replace("\\\\", "\\")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the simulated runs, for a quick look")
    print(table(parser.parse_args().scale))


if __name__ == "__main__":
    main()
