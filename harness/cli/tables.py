"""Tables of what there is and of what a sweep will cost: as wide as a terminal, or one row a line in a pipe."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from harness.ablation.case import Case
from harness.ablation.ranges import DEPTHS, spans
from harness.cli.inventory import OWN, RANGES, CheckpointEntry, Listed
from harness.errors import printable
from harness.lab.cost import ADAPTIVE_SHARE, Cost, share, single_skips_cost
from harness.models.checkpoints.resolve import Checkpoint
from harness.report.cost_line import power_line
from harness.report.text import counted

_NOTHING = "-"
_PIPED = 100_000  # columns: in a pipe nothing is cut or wrapped
_WHOLE = ("name", "family", "variant", "stack", "")  # never broken, even in a narrow terminal


@dataclass(frozen=True)
class Section:
    """One table."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def draw(parts: Sequence[Section], width: int | None) -> str:
    """The tables as text; ``width`` is the terminal's, or None for a pipe."""
    stream = io.StringIO()
    console = Console(file=stream, width=width or _PIPED, highlight=False)
    for part in parts:
        console.print(Text(part.title))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(part.head[0]))
        for name in part.head:
            table.add_column(Text(name), no_wrap=width is None or name in _WHOLE, overflow="fold")
        for column, texts in zip(table.columns, zip(*part.rows, strict=True), strict=False):
            column.min_width = max(map(len, texts)) if column.no_wrap and width is not None else None
        for row in part.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        console.print(table)
        console.print()
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n")) + "\n"


def overview(
    entries: Sequence[CheckpointEntry], strategies: Sequence[Listed], metrics: Sequence[Listed]
) -> list[Section]:
    """Everything that a sweep can be made of."""
    checkpoints = [
        (e.name, e.family, blocks(e.stacks), e.error or e.weights, _from(e.source, e.package)) for e in entries
    ]
    strategy_rows = [(s.name, _parameters(s), str(s.least), s.package, s.error or s.summary) for s in strategies]
    metric_rows = [(m.name, m.package, m.error or m.summary) for m in metrics]
    return [
        Section("checkpoints", ("name", "family", "blocks", "weights", "from"), checkpoints),
        Section("strategies", ("name", "parameters", "least blocks", "from", "what it is"), strategy_rows),
        Section("ranges", ("name", "what it is"), [*RANGES.items(), ("4, 4-7", "one block, or neighbouring blocks")]),
        Section("metrics beside the judge's", ("name", "from", "what it is"), metric_rows),
    ]


def _from(source: str, package: str) -> str:
    return source if package == OWN else " ".join(filter(None, (package, source)))


def _parameters(listed: Listed) -> str:
    return ", ".join(f".{name}N {what}" for name, what in listed.parameters.items()) or _NOTHING


def blocks(stacks: Mapping[str, int]) -> str:
    """``5 double, 10 single``."""
    return ", ".join(f"{number} {stack}" for stack, number in stacks.items()) or _NOTHING


def planned(checkpoint: Checkpoint, cases: Sequence[Case], cost: Cost, time: str, unit: float | None) -> list[Section]:
    """A checkpoint's stacks, the cases of a grid over it, what they cost, and how much harm they can tell apart.

    ``time`` is how long they take, ``unit`` the unit of harm in points of the score, None where none is stored.
    """
    settings = checkpoint.settings
    screening = single_skips_cost(checkpoint.stacks, cost.steps)
    about = (
        f"{checkpoint.name}: {checkpoint.family.transformer}, {blocks(checkpoint.stacks)} blocks; {cost.steps} steps, "
        f"guidance {settings.guidance:g}, {settings.height} x {settings.width} px, {settings.dtype}"
    )
    if checkpoint.lacks:
        about += f"; it was pruned: it lacks {checkpoint.lacks}; its own blocks are counted from 0"
    ranges = [
        (stack, f"0-{length - 1}", *(_resolved(depth, length) for depth in DEPTHS if depth != "each"))
        for stack, length in checkpoint.stacks.items()
    ]
    listed = [(c.id.removeprefix(f"{c.checkpoint}-"), str(c.plan), f"{share(c, checkpoint.stacks):.2f}") for c in cases]
    return [
        Section(about, ("stack", "blocks", *(depth for depth in DEPTHS if depth != "each")), ranges),
        Section(counted(len(cases), "case"), ("variant", "plan", "of the control's blocks"), listed),
        Section(
            "what they cost",
            ("", "how much"),
            [*_costs(cost, screening), ("time", time), ("power", power_line(cost, unit))],
        ),
    ]


def _resolved(depth: str, length: int) -> str:
    return ", ".join(str(span) for span, _ in spans(depth, length)) or _NOTHING


def _costs(cost: Cost, screening: float) -> list[tuple[str, str]]:
    """One row for each kind of cost."""
    cases = counted(cost.cases, "case")
    each = f" x {counted(cost.variant_seeds, 'seed')}" if cost.variant_seeds > 1 else ""
    runs = f"{counted(cost.prompts, 'prompt')} x ({cases}{each} + {counted(cost.seeds, 'seed')} of the control)"
    twice = ", each image in it twice: with and without the prompt" if cost.guided else ""
    passes = f"with the control itself as much as {cost.controls:.1f} passes of it over all prompts"
    return [
        ("images", f"{cost.images:,}, and {cost.control_images:,} of the control: {runs}"),
        ("forwards", f"{cost.forwards:,} of {counted(cost.together, 'image')}, {cost.steps} steps a batch{twice}"),
        ("blocks", f"{cost.work:.2f} of the control's on average; {passes}"),
        ("exhaustive", f"as much as {cost.exhaustive:,.0f} control images"),
        (
            "adaptive",
            f"about {cost.adaptive:,.0f} control images, if it needs {ADAPTIVE_SHARE:.0%} of the variants' images "
            "as in the median over the bundled models (--dit-adaptive)",
        ),
        ("screening", f"{screening:.0f} control images, for all single skips (python -m harness screen)"),
        ("disk", f"at most {decimal(cost.disk)} in the run's folder"),
    ]
