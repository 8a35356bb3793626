"""The ranking as Markdown, for a job summary or a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from harness.ranking import Ranking
from harness.records import Record
from harness.report.table import GROUP_HEAD, HEAD, cells, group_cells

LEGEND = (
    "Harm is the paired loss of the judge's prompt score, in units of the control's seed-to-seed sd (0: as good as "
    "the control), with the half-width of its 95 % interval (Student's t over prompts); coll. counts collapsed images "
    "(NaN, black, constant). Ranks carry simultaneous 95 % intervals; tier 1 can't be told from the least harmful "
    "variant. Speed-up is of the transformer's forward, beside what leaving out blocks would give if all cost the "
    "same; `*` marks variants that no other beats on both. CLIP is the change of the prompt score (cosine x 100), "
    "drift the latents' distance from the control (1: as far as a reseed), checker the change of the share of "
    "attributes that are right, FID/null the FID@N against the control over that of control against control."
)


def markdown(records: Sequence[Record], rankings: Sequence[Ranking]) -> str:
    """A title, the circumstances, and for each checkpoint the table and the summary per strategy."""
    out: list[str] = ["# Least harmful variant", ""]
    for ranking in rankings:
        out += [f"## {ranking.checkpoint}", "", _circumstances(records, ranking), ""]
        out += _table(HEAD, [cells(row) for row in ranking.rows])
        out += ["", "### By strategy (median over cases)", ""]
        out += _table(GROUP_HEAD, [group_cells(group) for group in ranking.groups])
        out.append("")
    out += [LEGEND, ""]
    return "\n".join(out)


def _circumstances(records: Sequence[Record], ranking: Ranking) -> str:
    fingerprint = next(r.fingerprint for r in records if r.checkpoint == ranking.checkpoint)
    versions = ", ".join(f"{k} {v}" for k, v in sorted(fingerprint.versions.items()))
    return (
        f"{len(ranking.rows)} variants, {ranking.prompts} prompts, {ranking.tiers} tiers; {fingerprint.device} "
        f"({fingerprint.capability}, {fingerprint.threads} threads), {fingerprint.dtype}; {versions}; "
        f"fingerprint {fingerprint.digest}"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    # A bar inside a plan would end its cell.
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
