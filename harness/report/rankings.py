"""Rankings in a Python session: printed as tables, as HTML in a notebook, as a pandas frame."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.report.ranking_data import frame
from harness.report.ranking_figures import pareto_figure, ranked_figure
from harness.report.ranking_table import cells, columns_of, errors, foot, named, title
from harness.report.ranking_terminal import draw
from harness.report.text import counted
from harness.results.figure import RankedBy
from harness.results.ranking import Ranking

if TYPE_CHECKING:
    import pandas as pd

    from harness.results.notebook_figure import NotebookFigure


@dataclass(frozen=True, repr=False)
class PrintedRanking(Ranking):
    """A Ranking that ``print`` shows as its table."""

    @classmethod
    def of(cls, ranking: Ranking) -> PrintedRanking:
        """The same ranking."""
        return cls(**{field.name: getattr(ranking, field.name) for field in fields(ranking)})

    def __str__(self) -> str:
        """The table as the terminal shows it, as wide as this one."""
        return _drawn([self])

    def __repr__(self) -> str:
        """One line: the checkpoint, how many variants, by what, the first of them."""
        return f"<Ranking {_summary(self)}>"

    def _repr_html_(self) -> str:
        return _html(self)

    def to_frame(self) -> pd.DataFrame:
        """One row a variant, one column a figure; names as in ranking.csv."""
        return frame([self])

    def plot(self) -> NotebookFigure:
        """Harm against speed-up with the Pareto front; where nothing was timed, each variant's harm with its interval.

        A ranking by speed-up shows those. A figure of matplotlib, which a notebook shows; ``savefig`` writes it.
        Raises HarnessError where there is nothing to draw.
        """
        figure = pareto_figure(self) or ranked_figure(self)
        if figure is None:
            raise HarnessError(f"{named(self)} has no variant with a harm or a speed-up to plot")
        return figure


class Rankings(list[Ranking]):
    """One Ranking for each checkpoint; ``print`` shows the tables."""

    @classmethod
    def of(cls, rankings: Iterable[Ranking]) -> Rankings:
        """The same rankings, each of which prints as its table, too."""
        return cls(map(PrintedRanking.of, rankings))

    def __str__(self) -> str:
        """The tables as the terminal shows them, as wide as this one."""
        return _drawn(self)

    def __repr__(self) -> str:
        """One line, with a part for each ranking."""
        return f"<{counted(len(self), 'ranking')}{': ' if self else ''}{'; '.join(map(_summary, self))}>"

    def _repr_html_(self) -> str:
        return "\n".join(map(_html, self))

    def to_frame(self) -> pd.DataFrame:
        """One row a variant of any checkpoint, one column a figure; names as in ranking.csv."""
        return frame(self)


def _drawn(rankings: list[Ranking]) -> str:
    return draw(rankings, shutil.get_terminal_size().columns, colour=False).rstrip("\n")


def _summary(ranking: Ranking) -> str:
    """``flux-tiny, 10 variants by harm over 48 prompts, first double-L02-skip``."""
    if not ranking.rows:
        return f"{named(ranking)}, no variants"
    over = f" over {counted(ranking.prompts, 'prompt')}" if ranking.by is RankedBy.HARM else ""
    variants = f"{counted(len(ranking.rows), 'variant')} by {ranking.by.value}{over}"
    return f"{named(ranking)}, {variants}, first {ranking.rows[0].case.removeprefix(f'{ranking.checkpoint}-')}"


def _html(ranking: Ranking) -> str:
    """A ranking's table with its title and what stands below it, every text escaped."""
    # Here: who prints a ranking needs no jinja2.
    from harness.report.html.shell import fragment

    columns = columns_of(ranking)
    return fragment(
        "ranking_table.html.j2",
        title=title(ranking),
        columns=columns,
        rows=[cells(row, columns) for row in ranking.rows],
        lines=[*foot(ranking), *errors(ranking)],
    ).rstrip("\n")
