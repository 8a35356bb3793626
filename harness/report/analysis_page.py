"""Layer analysis as Markdown: the groups, which measure predicts harm, and whether harms add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.ablation.ranges import range_text
from harness.markdown import markdown_table
from harness.report.text import number
from harness.results.columns import figure

if TYPE_CHECKING:
    from harness.analysis.predictors import Additivity
    from harness.analysis.segmentation import Grouping
    from harness.analysis.summary import Prediction

_LEGENDS = {
    "groups": "Each stack's image stream, cut where the similarities of its states, after the mean over tokens was "
    "taken away, fall best into groups: two to six of them, the number that stands out most from a stack without "
    "groups, or three (first, middle, last) where none does. Gain is the share of their scatter that the cut explains; "
    "without groups is what it explains in a stack without groups (similarity that decays smoothly with distance), and "
    "p how often such a stack stands out as much for any number of groups; stability is how often the same boundary "
    "comes out when prompts are drawn anew. Where p is above .05 there is no evidence of groups of blocks, and the cut "
    "is arbitrary.",
    "predictors": "Spearman's rank correlation of each measure with the harm of skipping a block, over blocks, with a "
    "95 % interval; p of a permutation test, not adjusted for the number of measures. Depth is the block's index: a "
    "measure that does not beat it is of no use as a predictor. What costs a run a block spares nothing: the same run "
    "gives harm itself. By the checker: the same correlation with what the exact checker of the bundled world finds "
    "lost, which the judge has no part in.",
    "additivity": "Harm of skipping two blocks minus the sum of the harms of skipping each, in units of the control's "
    "seed-to-seed standard deviation; off where the simultaneous 95 % interval over prompts does not contain 0.",
}


def _figures_legend(names: Iterable[str]) -> str:
    """What some figures are, by their declarations."""
    declared = [figure(name) for name in dict.fromkeys(names)]
    return " ".join(["All are means over the noise levels.", *(f.legend for f in declared if f is not None)])


def figures(title: str, by_name: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The gated figures, a row a stream or stack."""
    rows = [(case, name, number(value, ".4g")) for case, values in by_name.items() for name, value in values.items()]
    legend = _figures_legend(name for values in by_name.values() for name in values)
    return [f"## {title}", "", legend, "", *markdown_table(("of", "figure", "value"), rows), ""]


def groups(groupings: Mapping[str, Grouping]) -> list[str]:
    """The cut of every stack."""
    head = ("stack", "groups", "gain", "without groups", "p", "stability", "block structure")
    rows = [
        (
            stack,
            _cut(g),
            number(g.gain, ".3f"),
            number(g.null_gain, ".3f"),
            number(g.p, ".3g"),
            " ".join(number(s, ".2f") for s in g.stability),
            "yes" if g.structure else "no",
        )
        for stack, g in groupings.items()
    ]
    return ["## Groups", "", _LEGENDS["groups"], "", *markdown_table(head, rows), ""]


def _cut(grouping: Grouping) -> str:
    """``0-1 2-5 6``."""
    return " ".join(range_text(first, last) for first, last in grouping.spans)


def group_line(grouping: Grouping) -> str:
    """One stack's answer in one line."""
    answer = f"falls into {_cut(grouping)}" if grouping.structure else "no block structure"
    return f"{grouping.stack} {answer} (p = {grouping.p:.3g})"


def prediction_lines(predictions: Sequence[Prediction]) -> list[str]:
    """The measure that ranks best over the most blocks, of those that cost less than harm, and what the index tells."""
    last = predictions[-1].stack if predictions else ""
    known = [p for p in predictions if p.stack == last and p.correlation.defined and p.spares_work]
    if not known:
        return []
    best = max(known, key=lambda p: p.correlation.rho.value)
    depth = next((p for p in known if p.measure == "depth"), None)
    lines = [f"harm of single skips is ranked best, of what costs less, by {best.measure}: {best.correlation} ({last})"]
    return lines + ([f"depth alone: {depth.correlation}"] if depth is not None else [])


def predictors(predictions: Sequence[Prediction], cost: Mapping[str, str]) -> list[str]:
    """A row a measure, a column a stack; the measures that rank best first, by the last column."""
    stacks = list(dict.fromkeys(p.stack for p in predictions))
    by_name: dict[str, dict[str, Prediction]] = {}
    for p in predictions:
        by_name.setdefault(p.measure, {})[p.stack] = p

    def rank(name: str) -> float:
        correlation = by_name[name][stacks[-1]].correlation
        return -correlation.rho.value if correlation.defined else 2.0

    checked = all(p.checker is not None for p in predictions)
    rows = [
        (
            name,
            cost.get(name, ""),
            *(str(by_name[name][stack].correlation) for stack in stacks),
            *([str(by_name[name][stacks[-1]].checker)] if checked else []),
        )
        for name in sorted(by_name, key=rank)
    ]
    head = ("measure", "costs", *stacks, *([f"{stacks[-1]}, by the checker"] if checked else []))
    return ["## What predicts harm", "", _LEGENDS["predictors"], "", *markdown_table(head, rows), ""]


def additivity(by_stack: Mapping[str, Additivity]) -> list[str]:
    """A line a stack, and its largest interaction."""
    lines: list[str] = []
    for stack, a in by_stack.items():
        far = max(range(len(a.pairs)), key=lambda i: abs(a.interaction[i].value))
        gap, (one, other) = a.interaction[far], a.pairs[far]
        largest = f"{gap.value:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}] sd"
        lines.append(f"- {stack}: {a}. The largest is {largest}, of blocks {one} and {other}.")
    return ["## Do harms add up?", "", _LEGENDS["additivity"], "", *lines, ""]


def markdown(checkpoint: str, setting: str, parts: Sequence[Sequence[str]]) -> str:
    """The page of one checkpoint."""
    return "\n".join([f"# Layer analysis of {checkpoint}", "", setting, "", *(line for part in parts for line in part)])
