"""What the gates would see, as Markdown: a row a fault, a column a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from harness.report.text import markdown_table
from harness.results.columns import calibrated, figure, gated
from harness.results.figure import Figure

if TYPE_CHECKING:
    from harness.gates.validation.power import FaultResult


def head() -> tuple[str, ...]:
    """The columns of the table; what a gate with a noise floor catches alone has one of its own."""
    by = (f"by {declared.label}" for declared in _calibrated())
    return ("checkpoint", "fault", "what it is", "cases red", *by, "weakest", "median")


def legend() -> str:
    """What the columns show."""
    gates = ", ".join(name.replace("_", " ") for name in gated())
    return (
        f"Cases red counts the cases in which a tolerance gate ({gates}; on either side) would have failed; weakest "
        "and median are the smallest and the median over cases of a case's largest difference from its stored value, "
        "in tolerances (it fails from 1 on). Under a fault of the model the control is measured anew. The bitwise "
        "check and the control's own gates are not counted: they would catch more."
    )


def _cells(checkpoint: str, tested: FaultResult) -> tuple[str, ...]:
    """One line of the table, as :func:`head`."""
    name = (checkpoint, tested.mutant.name, tested.mutant.about)
    by = [declared.name for declared in _calibrated()]
    if tested.why_not:
        return (*name, "not there", *("" for _ in by), "", "")
    effects = tested.effects
    sizes = sorted(effect.excess for effect in effects)
    return (
        *name,
        f"{tested.flagged} of {len(effects)}",
        *(str(sum(metric in effect.caught for effect in effects)) for metric in by),
        f"{sizes[0]:.3g}" if sizes else "",
        f"{median(sizes):.3g}" if sizes else "",
    )


def _calibrated() -> list[Figure]:
    return [declared for declared in map(figure, calibrated()) if declared is not None]


def markdown(results: Mapping[str, Sequence[FaultResult]], insensitive: Mapping[str, Sequence[str]]) -> str:
    """The table, and the cases that would not see one more skipped block."""
    lines = ["# What the gates would see", "", legend(), ""]
    lines += markdown_table(head(), [_cells(name, tested) for name, every in results.items() for tested in every])
    lines += ["", "## Insensitive cases", ""]
    for name, cases in insensitive.items():
        listed = ", ".join(f"`{case}`" for case in cases) or "none"
        lines.append(f"- {name}: {listed}")
    return "\n".join([*lines, ""])
