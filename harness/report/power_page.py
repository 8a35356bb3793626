"""What the gates would see, as Markdown: a row a fault, a column a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from harness.report.text import markdown_table

if TYPE_CHECKING:
    from harness.gates.validation.power import Effect, FaultResult

HEAD = ("checkpoint", "fault", "what it is", "cases red", "by harm", "by drift", "weakest", "median")
LEGEND = (
    "Cases red counts the cases of which a tolerance gate (harm, latent drift or collapses, on either side) would have "
    "failed; weakest and median are the largest effect on a case in its tolerances (red from 1 on). The control is "
    "measured anew under a fault of the model. The bitwise check and the control's own gates are left out: they would "
    "see more."
)


def cells(checkpoint: str, tested: FaultResult) -> tuple[str, ...]:
    """One line of the table, as HEAD."""
    name = (checkpoint, tested.mutant.name, tested.mutant.about)
    if tested.why_not:
        return (*name, "not there", "", "", "", "")
    effects = tested.effects
    sizes = sorted(effect.excess for effect in effects)
    return (
        *name,
        f"{tested.flagged} of {len(effects)}",
        str(_by(effects, "harm")),
        str(_by(effects, "latent_drift")),
        f"{sizes[0]:.3g}" if sizes else "",
        f"{median(sizes):.3g}" if sizes else "",
    )


def _by(effects: Sequence[Effect], metric: str) -> int:
    return sum(metric in effect.caught for effect in effects)


def markdown(found: Mapping[str, Sequence[FaultResult]], insensitive: Mapping[str, Sequence[str]]) -> str:
    """The table, and the cases that would not see one more skipped block."""
    lines = ["# What the gates would see", "", LEGEND, ""]
    lines += markdown_table(HEAD, [cells(name, tested) for name, every in found.items() for tested in every])
    lines += ["", "## Insensitive cases", ""]
    for name, cases in insensitive.items():
        listed = ", ".join(f"`{case}`" for case in cases) or "none"
        lines.append(f"- {name}: {listed}")
    return "\n".join([*lines, ""])
