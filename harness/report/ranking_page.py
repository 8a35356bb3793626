"""The ranking as Markdown, for a job summary or a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.markdown import code_text, markdown_table, markdown_text
from harness.report.ranking_figures import BLOCKS, PARETO
from harness.report.ranking_table import (
    cells,
    columns_of,
    errors,
    foot,
    has_medians,
    headings,
    headline_columns,
    named,
    parts,
    strategy_cells,
    strategy_columns,
    timed,
    what_can_go_title,
)
from harness.report.red_section import red_markdown
from harness.report.same_cost_section import same_cost_markdown
from harness.report.task_section import task_markdown
from harness.results.columns import extra_kind
from harness.results.figure import Column, RankedBy
from harness.results.ranking import Ranking
from harness.results.ranking_row import Row
from harness.results.records import Record

_SPEED_NOTE = "Variants are ranked by speed-up where no quality was measured, as with random weights, which have none."
_WHAT_CAN_GO = (
    "Of each stack the least harmful skip of one block, of two, and so on, and the Pareto front (\\*): plans that are "
    "surely faster than the un-ablated model and than every less harmful one, and modifiers likewise."
)
_PICTURES = {
    PARETO: "Harm against speed-up of every timed variant, with the Pareto front",
    BLOCKS: "Harm of skipping each block alone",
}
_SHUFFLE_NOTE = (
    "Shuffle draws only permutations that are at least as far from the model's own order as the average one; random "
    "draws any but that order."
)


def markdown(records: Sequence[Record], rankings: Sequence[Ranking], figures: Sequence[Mapping[str, Path]] = ()) -> str:
    """What is red and why; a title, and for each checkpoint the circumstances, what can go, all variants, strategies.

    ``figures`` are the pictures of each ranking by kind, in the folder that the page is written into.
    """
    if not rankings:
        return "\n".join(red_markdown(records))
    kinds = {ranking.by for ranking in rankings}
    fastest = "# Fastest variant" if any(map(timed, rankings)) else "# Variants, not ranked"
    out: list[str] = [*red_markdown(records), "# Least harmful variant" if RankedBy.HARM in kinds else fastest, ""]
    for i, ranking in enumerate(rankings):
        columns, summary = columns_of(ranking), strategy_columns(ranking)
        own = ranking.own(records)
        out += [f"## {markdown_text(named(ranking))}", "", markdown_text(_circumstances(own, ranking)), ""]
        if ranking.errors:
            heading, *lines = errors(ranking)
            out += [f"**{heading}**", "", *(f"- `{line}`" for line in map(code_text, lines)), ""]
        if not ranking.rows:
            continue
        first = _what_can_go(ranking)
        for kind, picture in (figures[i] if i < len(figures) else {}).items():
            first += [f"![{_PICTURES[kind]}]({picture.name})", ""]
        tables = [_variants(heading, rows, columns, titled=bool(first)) for heading, rows in parts(ranking)]
        out += [*first, *(line for table in tables for line in table)]
        out.pop()  # the foot begins with an empty line, too
        out += [markdown_text(text).replace("*", "\\*") for line in foot(ranking) for text in ("", line)]
        if has_medians(ranking.groups):
            out += ["", "### By strategy (median over cases)", ""]
            out += markdown_table(headings(summary), [strategy_cells(group, summary) for group in ranking.groups])
        out += ["", *same_cost_markdown(own, ranking), *task_markdown(own, ranking)]
    note = [_SPEED_NOTE, ""] if RankedBy.SPEED in kinds else []
    if any(row.strategy.startswith("shuffle") for ranking in rankings for row in ranking.rows):
        note += [_SHUFFLE_NOTE, ""]
    return "\n".join([*out, *note, *_legend(rankings), ""])


def _what_can_go(ranking: Ranking) -> list[str]:
    """The Pareto front and the least harmful skip of each length, where blocks were left out at all."""
    if not ranking.removals:
        return []
    columns = headline_columns(ranking)
    table = markdown_table(headings(columns), [cells(row, columns) for row in ranking.removals])
    return [f"### W{markdown_text(what_can_go_title(ranking))[1:]}", "", _WHAT_CAN_GO, "", *table, ""]


def _variants(heading: str, rows: Sequence[Row], columns: Sequence[Column], *, titled: bool) -> list[str]:
    """A table of some variants, under its heading where there are others."""
    head = [f"### {markdown_text(heading[0].upper() + heading[1:])}", ""] if titled else []
    return [*head, *markdown_table(headings(columns), [cells(row, columns) for row in rows]), ""]


def _legend(rankings: Sequence[Ranking]) -> list[str]:
    """What the columns of some rankings show, a line each; those of extra metrics are explained once for each kind."""
    shown = dict.fromkeys(column for ranking in rankings for column in columns_of(ranking))
    explained = (extra_kind(c.name).legend.replace("{}", "METRIC") if "." in c.name else c.legend for c in shown)
    return [f"- {sentence}" for sentence in dict.fromkeys(explained)]


def _circumstances(records: Sequence[Record], ranking: Ranking) -> str:
    fingerprint = records[0].fingerprint
    versions = ", ".join(f"{k} {v}" for k, v in sorted(fingerprint.versions.items()))
    how = ", ".join([f"{ranking.prompts} prompts", *([f"{ranking.tiers} tiers"] if ranking.tiers else [])])
    if not ranking.rows:
        how = "nothing was measured"
    if ranking.by is not RankedBy.HARM:
        how = "ranked by speed-up" if timed(ranking) else "not ranked, as no latency was measured"
    return (
        f"{len(ranking.rows)} variants, {how}; {fingerprint.device} "
        f"({fingerprint.capability}, {fingerprint.threads} threads), {fingerprint.dtype}; {versions}; "
        f"fingerprint {fingerprint.digest}"
    )
