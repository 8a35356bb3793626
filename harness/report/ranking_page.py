"""The ranking as Markdown, for a job summary or a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.ranking_table import (
    cells,
    columns_of,
    errors,
    foot,
    headings,
    named,
    strategy_cells,
    strategy_columns,
    timed,
)
from harness.report.red_section import red_markdown
from harness.report.task_section import task_markdown
from harness.report.text import code_text, markdown_table, markdown_text
from harness.results.columns import extra_kind
from harness.results.figure import RankedBy
from harness.results.ranking import Ranking
from harness.results.records import Record

_SPEED_NOTE = "Variants are ranked by speed-up where no quality was measured, as with random weights, which have none."
_SHUFFLE_NOTE = (
    "Shuffle draws only permutations that are at least as far from the model's own order as the average one; random "
    "draws any but that order."
)


def markdown(records: Sequence[Record], rankings: Sequence[Ranking]) -> str:
    """What is red and why; a title, the circumstances, and for each checkpoint the table and the one per strategy."""
    if not rankings:
        return "\n".join(red_markdown(records))
    kinds = {ranking.by for ranking in rankings}
    fastest = "# Fastest variant" if any(map(timed, rankings)) else "# Variants, not ranked"
    out: list[str] = [*red_markdown(records), "# Least harmful variant" if RankedBy.HARM in kinds else fastest, ""]
    for ranking in rankings:
        columns, summary = columns_of(ranking), strategy_columns(ranking)
        out += [f"## {markdown_text(named(ranking))}", "", markdown_text(_circumstances(records, ranking)), ""]
        if ranking.errors:
            heading, *lines = errors(ranking)
            out += [f"**{heading}**", "", *(f"- `{line}`" for line in map(code_text, lines)), ""]
        if not ranking.rows:
            continue
        out += markdown_table(headings(columns), [cells(row, columns) for row in ranking.rows])
        out += [markdown_text(text).replace("*", "\\*") for line in foot(ranking) for text in ("", line)]
        out += ["", "### By strategy (median over cases)", ""]
        out += markdown_table(headings(summary), [strategy_cells(group, summary) for group in ranking.groups])
        out += ["", *task_markdown(records, ranking)]
    note = [_SPEED_NOTE, ""] if RankedBy.SPEED in kinds else []
    if any(row.strategy.startswith("shuffle") for ranking in rankings for row in ranking.rows):
        note += [_SHUFFLE_NOTE, ""]
    return "\n".join([*out, *note, *_legend(rankings), ""])


def _legend(rankings: Sequence[Ranking]) -> list[str]:
    """What the columns of some rankings show, a line each; those of extra metrics are explained once for each kind."""
    shown = dict.fromkeys(column for ranking in rankings for column in columns_of(ranking))
    explained = (extra_kind(c.name).legend.replace("{}", "METRIC") if "." in c.name else c.legend for c in shown)
    return [f"- {sentence}" for sentence in dict.fromkeys(explained)]


def _circumstances(records: Sequence[Record], ranking: Ranking) -> str:
    own = (r.fingerprint for r in records if r.checkpoint == ranking.checkpoint)
    fingerprint = ranking.fingerprint or next(own)
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
