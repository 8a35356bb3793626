"""The figures and columns by what they are used for: which are gated, stored, shown, and how one is called.

All of it is read off the declarations (:mod:`harness.results.figure_table`) whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from harness.results import figure_table
from harness.results.figure import Better, Column, Figure, RankedBy
from harness.results.figure_table_extra import ANALYSIS, EXTRA, GRADE, GRADE_LOSS


def figures() -> tuple[Figure, ...]:
    """Every figure of cases and controls."""
    return tuple(column for column in figure_table.COLUMNS if isinstance(column, Figure))


def figure(name: str) -> Figure | None:
    """The figure of that name: a declared one, or one of an extra metric (``lpips.drift``); None for neither."""
    declared = next((f for f in (*figures(), *ANALYSIS) if f.name == name), None)
    return declared or extra(name)


def extra(name: str) -> Figure | None:
    """The figure ``<metric>.<what>`` of an extra metric; None for every other name."""
    metric, dot, what = name.rpartition(".")
    kind = extra_kind(name)
    return replace(kind, name=name, label=kind.label.format(metric, what.removesuffix("_loss"))) if dot else None


def extra_kind(name: str) -> Figure:
    """What is declared of the figure ``<metric>.<what>`` for every metric; ``{}`` in it stands for the metric."""
    what = name.rpartition(".")[2]
    return next((f for f in EXTRA if f.name == what), GRADE_LOSS if what.endswith("_loss") else GRADE)


def gated() -> tuple[str, ...]:
    """Names of what a case is judged by where ``tolerances.toml`` is the one that comes with the harness."""
    return in_order(_names(f for f in figures() if f.gated))


def control_gated() -> tuple[str, ...]:
    """Names of what the control is judged by where ``tolerances.toml`` is the one that comes with the harness."""
    return in_order(_names(f for f in figures() if f.control_gated))


def latency_gated() -> tuple[str, ...]:
    """Names of what a timing is judged by where ``tolerances.toml`` is the one that comes with the harness."""
    return in_order(_names(f for f in figures() if f.latency_gated))


def in_order(names: Collection[str]) -> tuple[str, ...]:
    """Names of figures as they are declared, counts after the others, and those of extra metrics at the end."""
    declared = sorted((f for f in figures() if f.name in names), key=lambda f: f.count)
    own = _names(declared)
    return own + tuple(sorted(set(names) - set(own)))


def can_be_gated_names() -> tuple[str, ...]:
    """Names of the declared figures that a baseline may hold: of a case, of the control, or of the layer analysis."""
    grades = {f.name for f in figure_table.GRADES if not f.name.endswith("_loss")}
    in_control = (
        f for f in figures() if f.control_gated or f.name in grades or f.name.startswith(("seed_sd", "reseed_"))
    )
    return tuple(dict.fromkeys([*stored(), *_names(in_control), *_names(ANALYSIS)]))


def can_be_gated(name: str) -> bool:
    """Whether a baseline may hold a figure of that name."""
    return name in can_be_gated_names() or extra(name) is not None


def is_stored(name: str) -> bool:
    """Whether a baseline keeps a case's figure of that name."""
    declared = figure(name)
    return declared is not None and declared.stored


def is_count(name: str) -> bool:
    """Whether a figure is a whole number, which has no noise floor."""
    declared = figure(name)
    return declared is not None and declared.count


def compared(*, control: bool) -> tuple[Figure, ...]:
    """The figures of a case or of the control in which two runs are compared, in that order: counts come last."""
    chosen = (f for f in figures() if (f.control_gated if control else f.gated) and not f.restates)
    return tuple(sorted(chosen, key=lambda f: f.count))


def is_paired(name: str) -> bool:
    """Whether two runs are compared in that figure prompt by prompt, which gives an interval and a p."""
    declared = figure(name)
    return declared is not None and declared.paired


def stored() -> tuple[str, ...]:
    """Names of what a baseline keeps of a case."""
    return _names(f for f in figures() if f.stored)


def in_files(summary: Iterable[str]) -> tuple[str, ...]:
    """Those of a summary's names that ranking.csv and ranking.json have, in their order: extra metrics come last."""
    names = list(summary)
    declared = tuple(f.name for f in figures() if f.files and f.name in names)
    return declared + tuple(name for name in names if "." in name)


def higher_is_better(name: str) -> bool:
    """Whether more is better. Where neither side is, or the name is unknown, more counts as worse."""
    declared = figure(name)
    return declared is not None and declared.better is Better.HIGHER


def unit(name: str) -> str:
    """What stands behind a figure's value, or nothing."""
    declared = figure(name)
    return declared.unit if declared is not None else ""


def table(by: RankedBy) -> tuple[Column, ...]:
    """The declared columns of a ranking, from left to right."""
    return tuple(column for column in figure_table.COLUMNS if by in column.tables)


def headline() -> tuple[Column, ...]:
    """The declared columns of the short table of what can go, from left to right."""
    return tuple(column for column in table(RankedBy.HARM) if column.brief)


def strategy_table() -> tuple[Column, ...]:
    """The columns of the summary per strategy, from left to right."""
    return (*figure_table.STRATEGY_COLUMNS, *(column for column in figure_table.COLUMNS if column.strategies))


def _names(columns: Iterable[Figure]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)
