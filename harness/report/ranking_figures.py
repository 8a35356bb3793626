"""The figures of a run, from its ranking alone: harm against speed-up, and harm of each block skipped alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import HarnessError, first_line, printable, refuse
from harness.files import write_atomically
from harness.report.contact_sheet import is_name
from harness.report.figures.curves import skipped_blocks
from harness.report.figures.sheet import Sheet
from harness.report.ranking_table import named, variant_name
from harness.report.text import counted, titled
from harness.results.arrays import Array
from harness.results.figure import RankedBy
from harness.results.matched_compute import PLAN
from harness.results.ranking import Ranking
from harness.results.ranking_row import Row
from harness.results.removal import single_block
from harness.results.same_cost import way_of

if TYPE_CHECKING:
    from harness.report.figures.pareto import Variant
    from harness.results.notebook_figure import NotebookFigure

PARETO, BLOCKS = "pareto", "blocks"
_MOST_RANKED = 60  # variants in a figure of them all
_HARM = "harm in points of the judge's score, with 95 % intervals"


def write_figures(
    folder: Path, rankings: Sequence[Ranking], problem: Callable[[str], None] = refuse
) -> list[dict[str, Path]]:
    """Write ``pareto.png`` and ``blocks.png`` of each ranking; for each ranking the paths of what was written, by kind.

    With several rankings they are ``pareto-<checkpoint>.png``, as contact sheets are named. There is none where nothing
    was timed or no single block skipped, and none of a ranking by speed-up. ``problem`` is called with a line for each
    that can't be drawn or written; without it, HarnessError is raised for the first.
    """
    written: list[dict[str, Path]] = []
    if len(rankings) > 1:  # of an earlier part of the run, which had one checkpoint
        for name in _DRAWN:
            with suppress(OSError):
                (folder / f"{name}.png").unlink()
    for ranking in rankings:
        ending = _ending(ranking, several=len(rankings) > 1)
        paths: dict[str, Path] = {}
        for name, draw in (_DRAWN if ending is not None else {}).items():
            path = folder / f"{name}{ending}.png"
            try:
                picture = draw(ranking)
                if picture is not None:
                    write_atomically(path, picture)
                    paths[name] = path
            except Exception as error:  # noqa: BLE001 - the figures must not cost the numbers
                line = str(error) if isinstance(error, HarnessError) else f"can't draw {path}: {first_line(error)}"
                problem(line)
        written.append(paths)
    return written


def _ending(ranking: Ranking, *, several: bool) -> str | None:
    """What follows the name of a figure; None where the checkpoint's name, which may be anybody's, is no file's."""
    if not several:
        return ""
    apart = f"-{ranking.fingerprint.digest}" if ranking.apart and ranking.fingerprint is not None else ""
    return f"-{ranking.checkpoint}{apart}" if is_name(ranking.checkpoint) else None


def timed_variants(ranking: Ranking) -> list[Variant]:
    """The points of ``pareto.png``: every variant whose harm and speed-up are known."""
    # Here, as in _pareto: a run without timings loads no matplotlib.
    from harness.report.figures.pareto import Variant

    return [
        Variant(
            variant_name(row),
            printable(row.strategy) if (way := way_of(row.words, row.strategy)) == PLAN else way,
            harm,
            (row.latency.ratio, row.latency.low, row.latency.high),
            row.pareto,
            way != PLAN,
        )
        for row in ranking.rows
        if row.latency is not None and (harm := _harm(row)) is not None
    ]


def blocks_sheet(ranking: Ranking) -> Sheet | None:
    """``blocks.png``: a panel for each stack in which single blocks were skipped; None where there is none."""
    stacks: dict[str, dict[int, tuple[float, float, float]]] = {}
    for row in ranking.rows:
        block, harm = single_block(row), _harm(row)
        if block is not None and harm is not None:
            stacks.setdefault(printable(row.stack), {}).setdefault(block, harm)
    if not stacks or ranking.by is not RankedBy.HARM:
        return None
    note = f"{_said(ranking)} {_HARM[0].upper()}{_HARM[1:]}."
    title = f"{named(ranking)}: what skipping one block harms"
    harms = {stack: _along(stacks[stack]) for stack in sorted(stacks)}
    return skipped_blocks(BLOCKS, title, harms, titled("clip_delta"), note)


def _along(harms: dict[int, tuple[float, float, float]]) -> tuple[Array, Array, Array]:
    """Values and the ends of their intervals for the blocks 0 to the last known one, NaN for those between."""
    table = np.full((3, max(harms) + 1), np.nan)
    for block, harm in harms.items():
        table[:, block] = harm
    return table[0], table[1], table[2]


def _harm(row: Row) -> tuple[float, float, float] | None:
    """Harm in points with the ends of its interval; None where it isn't known."""
    change = row.value("clip_delta")
    if change is None or row.points_low is None or row.points_high is None or not np.isfinite(change):
        return None
    return 0.0 - change, row.points_low, row.points_high


def _said(ranking: Ranking) -> str:
    return f"{counted(ranking.prompts, 'prompt')}."


def _pareto(ranking: Ranking) -> bytes | None:
    figure = pareto_figure(ranking)
    if figure is None:
        return None
    from harness.report.figures.png import encoded, own_style

    with own_style():
        return encoded(figure)


def pareto_figure(ranking: Ranking) -> NotebookFigure | None:
    """Harm against speed-up; None where no variant was timed, or there is no harm."""
    variants = timed_variants(ranking)
    if not variants or ranking.by is not RankedBy.HARM:
        return None
    from harness.report.figures.pareto import pareto
    from harness.report.figures.png import own_style

    title = f"{named(ranking)}: harm against speed-up"
    with own_style():
        return pareto(title, _said(ranking), titled("clip_delta"), variants, ranking.to_lose)


def ranked_figure(ranking: Ranking) -> NotebookFigure | None:
    """The first variants in their order, by harm or by speed-up, with intervals; None where there are none."""
    from harness.report.figures.png import own_style
    from harness.report.figures.ranked import ranked

    if ranking.by is RankedBy.HARM:
        rows = [(variant_name(row), *harm) for row in ranking.rows if (harm := _harm(row)) is not None]
        x_title, neutral = titled("clip_delta"), 0.0
    else:
        timed = [(variant_name(row), row.latency) for row in ranking.rows if row.latency is not None]
        rows = [(name, latency.ratio, latency.low, latency.high) for name, latency in timed]
        x_title, neutral = titled("speed_up"), 1.0
    if not rows:
        return None
    first = f", the first {_MOST_RANKED} of {len(rows)}" if len(rows) > _MOST_RANKED else ""
    with own_style():
        return ranked(f"{named(ranking)}, by {ranking.by.value}{first}", x_title, rows[:_MOST_RANKED], neutral)


def _blocks(ranking: Ranking) -> bytes | None:
    sheet = blocks_sheet(ranking)
    if sheet is None:
        return None
    from harness.report.figures.png import png

    return png(sheet)


_DRAWN: dict[str, Callable[[Ranking], bytes | None]] = {PARETO: _pareto, BLOCKS: _blocks}
