"""What the gates would see, as Markdown: a row a fault, a column a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from harness.markdown import markdown_table
from harness.results.columns import figure, in_order, is_count

if TYPE_CHECKING:
    from harness.gates.validation.power import FaultResult
    from harness.results.records import Check


def _head(metrics: Sequence[str]) -> tuple[str, ...]:
    """The columns of the table; what a gate that is no count catches alone has one of its own."""
    by = (f"by {_label(metric)}" for metric in metrics)
    return ("checkpoint", "fault", "what it is", "cases red", *by, "weakest", "median", *_BY_HAND)


_BY_HAND = ("red by hand", "weakest by hand")


def _label(metric: str) -> str:
    declared = figure(metric)
    return declared.label if declared is not None else metric


def legend() -> str:
    """What the columns show."""
    return (
        "Cases red counts the cases in which a tolerance gate (on either side) would have failed; weakest and median "
        "are the smallest and the median over cases of a case's largest difference from its stored value, in "
        "tolerances (it fails from 1 on). They are those with the stored noise floors, which are in force where torch "
        "computes the same bits as the machine that they were measured on; the last two columns are those by hand, "
        f"with tolerances.toml alone, as on any other machine. {_UNDER_A_FAULT}"
    )


_UNDER_A_FAULT = (
    "Under a fault of the model the control is measured anew. The bitwise check and the control's own gates are not "
    "counted: they would catch more."
)


def _cells(checkpoint: str, tested: FaultResult, metrics: Sequence[str]) -> tuple[str, ...]:
    """One line of the table, as :func:`_head`."""
    name = (checkpoint, tested.mutant.name, tested.mutant.about)
    if tested.why_not:
        return (*name, "not there", *("" for _ in metrics), "", "", *("" for _ in _BY_HAND))
    effects = tested.effects
    sizes = sorted(_excess(effect.checks) for effect in effects)
    by_hand = sorted(_excess(effect.by_hand) for effect in effects)
    return (
        *name,
        f"{tested.flagged} of {len(effects)}",
        *(str(sum(metric in effect.caught for effect in effects)) for metric in metrics),
        f"{sizes[0]:.3g}" if sizes else "",
        f"{median(sizes):.3g}" if sizes else "",
        str(tested.flagged_by_hand),
        f"{by_hand[0]:.3g}" if by_hand else "",
    )


def _excess(checks: Sequence[Check]) -> float:
    """The largest effect in tolerances."""
    return max((check.excess for check in checks if check.tolerance), default=0.0)


def _metrics(results: Iterable[FaultResult]) -> tuple[str, ...]:
    """The gates that anything was checked by, but for counts."""
    names = {check.metric for tested in results for effect in tested.effects for check in effect.checks}
    return tuple(name for name in in_order(names) if not is_count(name))


def markdown(results: Mapping[str, Sequence[FaultResult]], insensitive: Mapping[str, Sequence[str]]) -> str:
    """The table, and the cases that would not see one more skipped block."""
    lines = ["# What the gates would see", "", legend(), ""]
    metrics = _metrics(tested for every in results.values() for tested in every)
    rows = [_cells(name, tested, metrics) for name, every in results.items() for tested in every]
    lines += markdown_table(_head(metrics), rows)
    lines += ["", "## Insensitive cases", ""]
    for name, cases in insensitive.items():
        listed = ", ".join(f"`{case}`" for case in cases) or "none"
        lines.append(f"- {name}: {listed}")
    return "\n".join([*lines, ""])
