"""The best plan against its rivals at the same theoretical cost, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.markdown import code_text, markdown_table
from harness.report.text import NOTHING
from harness.results.matched_compute import Match
from harness.results.statistics import Interval

_HEAD = ("checkpoint", "speed-up", "kind", "variant", "its speed-up", "harm (sd)", "more than the plan (sd)")


def markdown(matches: Mapping[str, Sequence[Match]]) -> str:
    """A table with a row for each checkpoint, speed-up and kind, and what its columns say."""
    lines = [(name, *row) for name, found in matches.items() for row in rows(found)]
    return "\n".join([*markdown_table(_HEAD, lines), "", LEGEND]) + "\n"


def rows(matches: Sequence[Match]) -> list[tuple[str, ...]]:
    """The cells of each speed-up and kind: speed-up, kind, variant, its speed-up, harm, and the paired difference."""
    return [
        (
            f"{match.speed_up:g}x",
            best.kind,
            " or ".join(f"`{code_text(text)}`" for text in best.names),
            f"{best.speed_up:.2f}x",
            _interval(best.harm),
            NOTHING if best.more_than_plan is None else _interval(best.more_than_plan),
        )
        for match in matches
        for best in match.kinds
    ]


LEGEND = (
    "Each row is the least harmful variant of its kind that is at least as fast in theory, if every block cost the "
    "same and nothing else cost anything. Harm is in standard deviations of the control's score from seed to seed, "
    "with its 95 % interval over prompts; the last column is the mean over prompts of the difference from the best "
    "plan, above 0 where the plan is better. A variant is chosen on one half of the prompts and judged on the other "
    "half, both ways round; where the halves choose different ones, both are named."
)


def _interval(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
