"""The ranking as Markdown, for a job summary or a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.ranking_table import cells, extras, group_cells, heads, left_out, timed
from harness.report.text import markdown_table
from harness.results.ranking import HARM, SPEED, Ranking
from harness.results.records import Record

LEGEND = (
    "Harm is the paired loss of the judge's prompt score, in units of the control's seed-to-seed sd (0: as good as "
    "the control), with the half-width of its 95 % interval (Student's t over prompts); coll. counts collapsed images "
    "(NaN, black, constant). Ranks carry simultaneous 95 % intervals; tier 1 can't be told from the least harmful "
    "variant. Speed-up is of the transformer's forward, beside what leaving out blocks would give if all cost the "
    "same; `*` marks variants that no other beats on both. CLIP is the change of the prompt score (cosine x 100), "
    "drift the latents' distance from the control (1: as far as a reseed), checker the change of the share of "
    "attributes that are right, FID/null the FID@N against the control over that of control against control."
)


EXTRA_LEGEND = (
    "Of extra metrics, drift is the distance from the control's images (1: as far as a reseed), FID/null is as above "
    "on the metric's own features, delta the mean change of its score in its own unit, paired by prompt and seed. CLIP "
    "min is the change of the lowest sentence score, where prompts are longer than the judge reads."
)


SPEED_LEGEND = (
    "Speed-up is of the transformer's forward, and what variants are ranked by, as nothing was measured of quality "
    "(random weights have none). Theory is what leaving out blocks would give if all cost the same; memory the peak "
    "against the bare model's, output drift the relative L2 distance of the transformer's output from the control's. "
    "Surgery `bitwise`: the output is that of a model whose list holds just the plan's blocks; `trace`: there is no "
    "such list, and the blocks that ran are the plan's."
)


def markdown(records: Sequence[Record], rankings: Sequence[Ranking]) -> str:
    """A title, the circumstances, and for each checkpoint the table and the summary per strategy."""
    kinds = {ranking.by for ranking in rankings}
    fastest = "# Fastest variant" if any(map(timed, rankings)) else "# Variants, not ranked"
    out: list[str] = ["# Least harmful variant" if HARM in kinds else fastest, ""]
    for ranking in rankings:
        head, group_head = heads(ranking)
        out += [f"## {ranking.checkpoint}", "", _circumstances(records, ranking), ""]
        out += markdown_table(head, [cells(row, head=head) for row in ranking.rows])
        if said := left_out(ranking):
            out += ["", said.replace("|", "\\|")]
        out += ["", "### By strategy (median over cases)", ""]
        out += markdown_table(group_head, [group_cells(group, group_head) for group in ranking.groups])
        out.append("")
    shown = {HARM: LEGEND, SPEED: SPEED_LEGEND}
    legends = [legend for kind, legend in shown.items() if kind in kinds]
    if any(extras(row) for ranking in rankings for row in ranking.rows):
        legends.append(EXTRA_LEGEND)
    for legend in legends:
        out += [legend, ""]
    return "\n".join(out)


def _circumstances(records: Sequence[Record], ranking: Ranking) -> str:
    fingerprint = next(r.fingerprint for r in records if r.checkpoint == ranking.checkpoint)
    versions = ", ".join(f"{k} {v}" for k, v in sorted(fingerprint.versions.items()))
    how = f"{ranking.prompts} prompts, {ranking.tiers} tiers"
    if ranking.by != HARM:
        how = "ranked by speed-up" if timed(ranking) else "not ranked, as no latency was measured"
    return (
        f"{len(ranking.rows)} variants, {how}; {fingerprint.device} "
        f"({fingerprint.capability}, {fingerprint.threads} threads), {fingerprint.dtype}; {versions}; "
        f"fingerprint {fingerprint.digest}"
    )
