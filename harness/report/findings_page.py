"""Findings as tables: what each model says of each published claim, and the comparison on which that turns."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import printable
from harness.findings.claim import ClaimVerdict, Finding
from harness.markdown import markdown_table

_HEAD = ("id", "statement", "verdict", "decisive comparison", "source")
_WIDE = 140  # columns, below which the source is left out
_STYLES = {ClaimVerdict.SUPPORTED: "green", ClaimVerdict.CONTRADICTED: "red", ClaimVerdict.UNDECIDED: "yellow"}
_LEGEND = (
    "Supported: every comparison of the claim holds, with its interval wholly on that side; contradicted: one fails, "
    "with its interval wholly on the other side; undecided: neither. Intervals are over prompts (over bins of the "
    "noise level for a trend, over draws of the prompts for similarities) and hold together at 95 % for each claim "
    "(Bonferroni). What there is to lose is the harm of a model that ignores the prompt: of images made for another "
    "prompt. A verdict is about the model that it was measured on, not about the one the claim was made of."
)


def cells(finding: Finding) -> tuple[str, ...]:
    """One line of the table, as HEAD."""
    return (finding.claim, finding.statement, finding.verdict.value, finding.because, finding.source)


def summary(findings: Sequence[Finding]) -> str:
    """``2 supported, 1 contradicted``."""
    counts = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in ClaimVerdict if counts[verdict])


def markdown(findings: Sequence[Finding]) -> str:
    """A section for each checkpoint."""
    out = ["# Published claims", ""]
    for name, own in _by_checkpoint(findings).items():
        out += [f"## On {name}", "", f"{summary(own)}.", "", *markdown_table(_HEAD, map(cells, own)), ""]
    return "\n".join([*out, _LEGEND, ""])


def render(findings: Sequence[Finding], width: int, colour: bool) -> str:
    """The same for a terminal of ``width`` columns."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    shown = _HEAD if console.width >= _WIDE else _HEAD[:-1]
    for name, own in _by_checkpoint(findings).items():
        title = Text(f"published claims, on {name}: {summary(own)}")
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0)
        )
        for head in shown:
            # As Text: rich would read the interval "[0.1, 0.2]" as markup.
            table.add_column(Text(head), justify="left", overflow="fold", no_wrap=head in ("id", "verdict"))
        for finding in own:
            table.add_row(
                *(Text(printable(cell)) for cell in cells(finding)[: len(shown)]),
                style=_STYLES.get(finding.verdict, "dim"),
            )
        console.print(table)
    return stream.getvalue()


def _by_checkpoint(findings: Sequence[Finding]) -> Mapping[str, list[Finding]]:
    out: dict[str, list[Finding]] = {}
    for finding in findings:
        out.setdefault(finding.checkpoint, []).append(finding)
    return out
