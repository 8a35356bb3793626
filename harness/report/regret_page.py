"""The tables of docs/search.md, from what is stored in docs/search: ``python -m harness.report.regret_page``.

With ``--measure`` the regrets are measured anew first, from the tables of all removals, which takes minutes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.files import write_atomically
from harness.markdown import markdown_table
from harness.report.text import number
from harness.results.serialise import parse, to_plain
from harness.results.statistics import mean_interval
from harness.search.journal import read_journal
from harness.search.regret import Regret, largest_reversal, regrets
from harness.search.sampled_harms import agreement
from harness.search.truth import FOLDER, Truth, read_truth

PAGE = Path("docs") / "search.md"
REGRETS = "regrets.json"
SEEDS = tuple(range(1000, 1020))  # not those that selectors were improved on
_SHARE = 0.03  # of all removals may be evaluated
_ALLOWED = 0.02  # median regret
_BEGIN, _END = "<!-- {}: python -m harness.report.regret_page -->", "<!-- end of {} -->"
_SCHEMA = 1


@dataclass(frozen=True)
class StoredRegrets:
    """The regrets of all selectors by model, and the seeds that they were measured on."""

    seeds: tuple[int, ...]
    share: float
    models: dict[str, tuple[Regret, ...]]


def measure(truths: Sequence[Truth], seeds: Sequence[int] = SEEDS) -> StoredRegrets:
    """Every selector's regrets on every model, at 3 % of all removals. Raises HarnessError where pymoo is missing."""
    models = {truth.about.checkpoint: tuple(regrets(truth, budget(truth), seeds=seeds)) for truth in truths}
    return StoredRegrets(tuple(seeds), _SHARE, models)


def budget(truth: Truth) -> float:
    """How many evaluations a selector may take on a model."""
    return _SHARE * len(truth.fine)


def write_regrets(stored: StoredRegrets, path: Path) -> None:
    """Write them as JSON. Raises HarnessError."""
    write_atomically(path, json.dumps({"schema": _SCHEMA, **to_plain(stored)}, sort_keys=True) + "\n")


def read_regrets(path: Path) -> StoredRegrets:
    """Read them. Raises DataError, OSError or ValueError for a file that holds none."""
    return parse(StoredRegrets, path.read_text(encoding="utf-8"), schema=_SCHEMA, where=str(path))


def regret_table(stored: StoredRegrets) -> list[str]:
    """Regret by model and selector: where it is too large, where greedy is surely better, and whether random is."""
    head = (
        "model",
        "selector",
        "median regret % (worst size)",
        f"sizes above {_ALLOWED:.0%}",
        "surely worse than greedy at",
        "random at equal cost is worse by %",
        "evaluations: median, most",
    )
    rows: list[tuple[str, ...]] = []
    for model, measured in stored.models.items():
        greedy = {each.size: each for each in measured if each.selector == "greedy"}
        names = dict.fromkeys(each.selector for each in measured)
        rows += [(model, name, *_row([each for each in measured if each.selector == name], greedy)) for name in names]
    return markdown_table(head, rows)


def _row(measured: Sequence[Regret], greedy: dict[int, Regret]) -> Iterator[str]:
    medians = np.array([each.median for each in measured])
    worst = measured[int(medians.argmax())]
    yield f"{number(float(np.median(medians)) * 100, '.2f')} ({number(worst.median * 100, '.1f')}: {worst.size} blocks)"
    yield _sizes(each.size for each in measured if each.median > _ALLOWED)
    yield (
        ""
        if measured[0].selector == "greedy"
        else _sizes(each.size for each in measured if _surely_above(np.subtract(each.regret, greedy[each.size].regret)))
    )
    if measured[0].selector == "random":
        yield ""
    else:
        gain = np.mean([np.subtract(each.random, each.regret) for each in measured], axis=0)
        interval = mean_interval(gain * 100)
        sure = "" if interval.low > 0 else ": random is surely better" if interval.high < 0 else ", not surely"
        yield f"{number(interval.value, '.2f')} [{number(interval.low, '.2f')}, {number(interval.high, '.2f')}]{sure}"
    costs = np.concatenate([each.cost for each in measured])
    yield f"{np.median(costs):.0f}, {costs.max():.0f}"


def _sizes(sizes: Iterator[int]) -> str:
    return ", ".join(map(str, sizes)) or "none"


def _surely_above(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    """Whether the 95 % interval of the mean over seeds is above 0; equal differences are certain."""
    if np.ptp(differences) == 0:
        return bool(differences[0] > 1e-12)
    return mean_interval(differences).low > 0


def pair_table(truths: Sequence[Truth]) -> list[str]:
    """For each model the two sets of one size that sums of single errors order most wrongly."""
    head = ("model", "plan", "sum of single errors", "error")
    return markdown_table(head, [row for truth in truths for row in _pair(truth)])


def _pair(truth: Truth) -> list[tuple[str, ...]]:
    reversals = [pair for size in range(2, truth.blocks.count) if (pair := largest_reversal(truth, size)) is not None]
    if not reversals:
        return []
    largest = max(reversals, key=lambda each: each.errors[1] - each.errors[0])
    sets = (largest.better, largest.worse)
    return [
        (truth.about.checkpoint, truth.blocks.text(removal), number(total, ".3f"), number(error, ".3f"))
        for removal, total, error in zip(sets, largest.sums, largest.errors, strict=True)
    ]


def harm_table(truths: Sequence[Truth], folder: Path) -> list[str]:
    """The rank correlation of velocity error with harm on images, by the size of the sets."""
    rows: list[tuple[str, ...]] = []
    for truth in truths:
        journal = read_journal(folder / f"{truth.about.checkpoint}-harms.jsonl")
        for group, correlation in agreement(truth, journal):
            rho = correlation.rho
            text = f"{number(rho.value, '.2f')} [{number(rho.low, '.2f')}, {number(rho.high, '.2f')}]"
            rows.append((truth.about.checkpoint, group, str(correlation.n), str(len(journal.on.prompts)), text))
    return markdown_table(("model", "left out", "sets", "prompts", "rank correlation"), rows)


def made_table(truths: Sequence[Truth]) -> list[str]:
    """How each table of all removals was made."""
    rows = [
        (
            truth.about.checkpoint,
            f"2^{truth.blocks.count} = {len(truth.fine):,}",
            f"{len(truth.about.prompts)} x {len(truth.about.steps)}",
            f"{truth.about.block_runs:,} ({truth.about.block_runs / (len(truth.fine) - 1):.2f} x)",
            f"{truth.about.seconds:.0f} s, {truth.about.threads} thread" + ("s" if truth.about.threads > 1 else ""),
        )
        for truth in truths
    ]
    return markdown_table(("model", "sets", "prompts x steps", "block runs (x what sharing needs)", "time"), rows)


def tables(folder: Path) -> dict[str, list[str]]:
    """The lines of each table of the page, by its name. Raises DataError, JournalError or OSError."""
    truths = [read_truth(path) for path in sorted(folder.glob("*.safetensors"))]
    return {
        "made": made_table(truths),
        "regrets": regret_table(read_regrets(folder / REGRETS)),
        "pairs": pair_table(truths),
        "harms": harm_table(truths, folder),
    }


def filled(text: str, blocks: dict[str, list[str]]) -> str:
    """The page with each table between its two comments. Raises ValueError where a comment is missing."""
    for name, lines in blocks.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page lacks {begin} or {end}")
        text = "\n".join([before + begin, "", *lines, "", end + after])
    return text


if __name__ == "__main__":
    if "--measure" in sys.argv:
        stored_tables = [read_truth(path) for path in sorted(FOLDER.glob("*.safetensors"))]
        write_regrets(measure(stored_tables), FOLDER / REGRETS)
    write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8"), tables(FOLDER)))
