"""A ranking as rows of cells for people: which columns its table has, what is in them, and the lines below it.

For programs it is in :mod:`harness.report.ranking_data`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from harness.ablation.case import BY_HAND
from harness.errors import printable
from harness.report.text import NOTHING, counted, number
from harness.results.columns import extra, headline, strategy_table, table
from harness.results.figure import Column, Figure, RankedBy
from harness.results.rank_intervals import LEAST_FOR_TIERS
from harness.results.ranking import Ranking
from harness.results.ranking_row import Row
from harness.results.removal import leaves_out_blocks
from harness.results.second_opinion import SecondOpinion
from harness.results.strategy_summary import StrategySummary

PLAN = "plan"
_NO_BLOCK_LEFT_OUT = "variants that leave out no block, and so save no time"


def what_can_go_title(ranking: Ranking) -> str:
    """Heads the short table of what can go."""
    return f"what can go: {named(ranking)} ({_measured_on(ranking)})"


def _measured_on(ranking: Ranking) -> str:
    timed_in = "" if ranking.timed_batch is None else f", timed in batches of {ranking.timed_batch}"
    some = "" if ranking.fewest is None else f"{ranking.fewest} to {_most(ranking)} of "
    return f"{some}{ranking.prompts} prompts{timed_in}"


def _most(ranking: Ranking) -> int:
    """The most prompts that an adaptive run measured a variant on."""
    return int(max(row.summary.get("prompts_measured", ranking.prompts) for row in ranking.rows))


def title(ranking: Ranking) -> str:
    """What is ranked by what."""
    name = named(ranking)
    if ranking.by is RankedBy.HARM and ranking.rows:
        return f"least harmful variant: {name} ({_measured_on(ranking)})"
    if not ranking.rows:
        return f"nothing to rank: {name}"
    refused = ranking.judge_check is not None and ranking.judge_check.refused
    if timed(ranking):
        why = "the judge is refused" if refused else "no quality measured"
        return f"fastest variant, by speed-up ({why}): {name}"
    if refused:
        return f"not ranked (the judge is refused, no latency measured): {name}"
    return f"not ranked (no latency measured): {name}"


def named(ranking: Ranking) -> str:
    """The checkpoint, and how it was measured where that is not the way of the first table."""
    return printable(f"{ranking.checkpoint}, {ranking.apart}" if ranking.apart else ranking.checkpoint)


def timed(ranking: Ranking) -> bool:
    """Whether any of its variants was."""
    return any(row.latency for row in ranking.rows)


def columns_of(ranking: Ranking) -> tuple[Column, ...]:
    """The columns of a ranking's table.

    In a ranking by harm, optional ones and those of extra metrics stand before the last, where any variant has them.
    Without images most figures were not measured: a ranking by speed leaves out the columns that are empty.
    """
    declared = table(ranking.by)
    if ranking.by is RankedBy.SPEED:
        return _filled(declared, [cells(row, declared) for row in ranking.rows])
    measured = dict.fromkeys(name for row in ranking.rows for name in row.summary)
    always = [column for column in declared if not column.optional]
    optional = [column for column in declared if column.optional and column.name in measured]
    extras = [column for column in map(extra, measured) if column is not None and column.tables]
    return (*always[:-1], *optional, *extras, *always[-1:])


def headline_columns(ranking: Ranking) -> tuple[Column, ...]:
    """The columns of the short table of what can go, without those that are empty.

    The plans are among them where a variant is nothing but its plan.
    """
    columns = [c for c in table(ranking.by) if c in headline() or (c.name == PLAN and by_hand(ranking.removals))]
    return _filled(columns, [cells(row, columns) for row in ranking.removals])


def by_hand(rows: Sequence[Row]) -> bool:
    """Whether any of the variants is a plan by hand, whose name says nothing."""
    return any(BY_HAND in row.words for row in rows)


def parts(ranking: Ranking) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    """(title, rows) of the tables that the ranking is shown as: variants that leave out no block stand apart.

    They save no time, whatever they do. One table where all variants are of one kind, or ranked by speed-up.
    """
    out = tuple(row for row in ranking.rows if leaves_out_blocks(row))
    if ranking.by is not RankedBy.HARM or not 0 < len(out) < len(ranking.rows):
        return ((title(ranking), ranking.rows),)
    same = tuple(row for row in ranking.rows if not leaves_out_blocks(row))
    return ((f"{title(ranking)}, of those that leave out blocks", out), (_NO_BLOCK_LEFT_OUT, same))


def strategy_columns(ranking: Ranking) -> tuple[Column, ...]:
    """The columns of a ranking's summary per strategy; a ranking by speed leaves out those that are empty."""
    columns = strategy_table()
    if ranking.by is RankedBy.HARM:
        return columns
    return _filled(columns, [strategy_cells(group, columns) for group in ranking.groups])


def _filled(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> tuple[Column, ...]:
    return tuple(column for i, column in enumerate(columns) if any(row[i] != NOTHING for row in rows))


def headings(columns: Sequence[Column]) -> tuple[str, ...]:
    """What heads them."""
    return tuple(column.heading for column in columns)


def cells(row: Row, columns: Sequence[Column], *, short: bool = False) -> tuple[str, ...]:
    """One line of the table. A figure that was not measured is a dash, never a zero.

    ``short`` leaves the intervals of rank, harm and speed-up out, for narrow terminals.
    """
    return tuple(printable(_cell(row, column, short=short)) for column in columns)


def _cell(row: Row, column: Column, *, short: bool) -> str:
    form = column.form if isinstance(column, Figure) else ""
    if column.name in _WRITTEN:
        return _WRITTEN[column.name](row, form, short)
    value = row.value(column.name)
    return number(_signed(value, column) if isinstance(column, Figure) else value, form)


def _rank(row: Row, _form: str, short: bool) -> str:
    return str(row.rank) if short or row.rank_low is None else f"{row.rank} [{row.rank_low}-{row.rank_high}]"


def variant_name(row: Row) -> str:
    """``double-L01-03-skip``: a case's id without its checkpoint."""
    return printable("-".join(part for part in (row.stack, row.place, row.strategy) if part))


def _points(row: Row, form: str, short: bool) -> str:
    """``0.42 [0.31, 0.58]``: harm in points."""
    change = row.value("clip_delta")
    if change is None:
        return NOTHING
    text = f"{0.0 - change:{form}}"  # and not -change: no minus zero
    if short or row.points_low is None or row.points_high is None:
        return text
    return f"{text} [{row.points_low:{form}}, {row.points_high:{form}}]"


def _lost(row: Row, form: str, short: bool) -> str:
    """``12.3 [9.8, 15.1]``: harm in percent of what there is to lose."""
    value, low, high = (row.value(name) for name in ("lost_percent", "lost_percent_low", "lost_percent_high"))
    text = number(None if value is None else value + 0.0, form)  # + 0.0: no minus zero
    if value is None or short or low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return text
    return f"{text} [{low:{form}}, {high:{form}}]"


def _speed_up(row: Row, form: str, short: bool) -> str:
    """``1.23 [1.20, 1.27]*``."""
    if row.latency is None:
        return NOTHING
    interval = "" if short else f" [{row.latency.low:{form}}, {row.latency.high:{form}}]"
    return f"{row.latency.ratio:{form}}{interval}" + ("*" if row.pareto else "")


def _memory(row: Row, form: str, _short: bool) -> str:
    """``+0.3 %``."""
    value = row.value("memory")
    return NOTHING if value is None else f"{value:{form}} %"


def _surgery(row: Row, _form: str, _short: bool) -> str:
    same = row.value("same_as_listed")
    return NOTHING if same is None else "bitwise" if same else "trace"


# Columns that are texts, or more than a number. Each is given the figure's format, and whether to be short.
_WRITTEN: Mapping[str, Callable[[Row, str, bool], str]] = {
    "rank": _rank,
    "variant": lambda row, _form, _short: variant_name(row),
    "plan": lambda row, _form, _short: row.plan,
    "clip_delta": _points,
    "lost_percent": _lost,
    "speed_up": _speed_up,
    "memory": _memory,
    "same_as_listed": _surgery,
    "gate": lambda row, _form, _short: row.gate.value,
}


def explanations(ranking: Ranking, shown: Sequence[Column]) -> tuple[str, ...]:
    """What a reader has to know of the signs in a table: a line each for ``*`` and for tiers, where they are there."""
    names = {column.name for column in shown}
    lines: list[str] = []
    if "speed_up" in names and any(row.pareto for row in ranking.rows):
        lines.append(
            "*: surely faster than the control, and than every less harmful variant of its kind, plan or modifier (the "
            "Pareto front)"
        )
    if "tier" in names and ranking.tiers and ranking.fewest is None:
        lines.append(
            "tier: a new one begins at the first variant that is surely more harmful than the first of the tier before"
        )
    return tuple(lines)


def filled_columns(ranking: Ranking, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Those columns that have something to show of any variant."""
    return _filled(columns, [cells(row, columns) for row in ranking.rows])


def foot(ranking: Ranking) -> tuple[str, ...]:
    """The lines below a table: the unit, the batches, what is missing and why, gates, judge, second opinions."""
    lines: list[str] = []
    unit = ranking.unit
    if unit is not None:
        lines.append(
            f"1 sd = {unit.value:.2f} points [{unit.low:.2f}, {unit.high:.2f}], of this checkpoint and these prompts "
            "alone"
        )
    if ranking.to_lose is not None:
        lines.append(
            f"100 % lost = {ranking.to_lose:.1f} points: how much lower the control's images score for other prompts"
        )
    if ranking.timed_batch is not None:
        sampled = f"; images were sampled {ranking.sampled_batch} at a time" if ranking.sampled_batch else ""
        lines.append(f"speed-up: of a forward of {counted(ranking.timed_batch, 'image')}{sampled}")
    if ranking.by is RankedBy.HARM and ranking.rows and not ranking.tiers:
        lines.append(f"no tiers: {counted(ranking.prompts, 'prompt')}, and tiers need {LEAST_FOR_TIERS}")
    if ranking.fewest is not None:
        images = sum(row.n for row in ranking.rows)
        whole = sum(row.n * ranking.prompts / row.summary["prompts_measured"] for row in ranking.rows)
        lines.append(
            f"adaptive: {images:,} of {whole:,.0f} images; tier 1 is what the least harmful variant would hardly be "
            "told apart from with all prompts, tier 2 the rest; intervals allow for every look at the images"
        )
    lines += _unmeasured(ranking)
    lines += [_left_out(ranking)] if ranking.left_out else []
    lines += ranking.gates
    lines += [] if ranking.judge_check is None else [ranking.judge_check.sentence]
    return tuple(map(printable, (*lines, *map(_opinion_line, ranking.opinions))))


def _unmeasured(ranking: Ranking) -> list[str]:
    """A line for each reason not to measure cases, with the cases."""
    reasons: dict[str, list[str]] = {}
    for case, why in ranking.unmeasured.items():
        reasons.setdefault(why, []).append(case.removeprefix(f"{ranking.checkpoint}-"))
    return [f"not measured ({len(cases)}), as {why}: {', '.join(cases)}" for why, cases in reasons.items()]


def _left_out(ranking: Ranking) -> str:
    """``left out: lpips (no weights ...)``: the metrics that are no columns, by name; nothing where there are none."""
    said = ", ".join(f"{name} ({why})" for name, why in ranking.left_out.items())
    return printable(f"left out: {said}") if said else ""


def _opinion_line(opinion: SecondOpinion) -> str:
    """``by the checker: Spearman .89 [.85, .92] with harm, ...; they part most at ...``."""
    alike = opinion.alike
    what = "distance from the control (a drift, not a harm)" if opinion.drift else "loss"
    everywhere, harmful = (
        ", ".join(f"{p.case} (# {p.by_harm:g} by harm, {p.by_other:g})" for p in parted)
        for parted in (opinion.parted, opinion.parted_harmful)
    )
    return (
        f"second opinion: {opinion.name}, by its {what}, ranks with Spearman {number(alike.value, '.2f')} "
        f"[{number(alike.low, '.2f')}, {number(alike.high, '.2f')}] as harm does, and with "
        f"{number(opinion.alike_harmful, '.2f')} among the {opinion.harmful} more harmful variants"
        + (f"; they part most at {everywhere}" if everywhere else "")
        + (f"; among the more harmful at {harmful}" if harmful else "")
    )


def errors(ranking: Ranking) -> list[str]:
    """A title and a line for each case that raised and is not ranked; nothing where there is none."""
    if not ranking.errors:
        return []
    return [
        f"not ranked, as the test raised ({len(ranking.errors)}):",
        *(printable(f"{name}: {line}") for name, line in ranking.errors.items()),
    ]


def has_medians(groups: Sequence[StrategySummary]) -> bool:
    """Whether a summary by strategy says more than the table: whether any of its medians is over several cases."""
    return any(group.cases > 1 for group in groups)


def strategy_cells(group: StrategySummary, columns: Sequence[Column]) -> tuple[str, ...]:
    """One line of the summary per strategy."""
    values = dataclasses.asdict(group)
    return tuple(
        number(_signed(values[column.name], column), column.form)
        if isinstance(column, Figure)
        else printable(str(values[column.name]))
        for column in columns
    )


def _signed(value: float | None, column: Figure) -> float | None:
    """The value as its column shows it."""
    return 0.0 - value if value is not None and column.negated else value  # and not -value: no minus zero
