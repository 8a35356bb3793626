"""What a sweep will cost, in one line."""

from __future__ import annotations

from harness.lab.cost import Cost
from harness.report.text import counted


def cost_line(cost: Cost, *, control_may_be_stored: bool = False) -> str:
    """``57 cases, 3,648 images and 256 of the control, 244 forwards of 64 images, 0.93 of the control's blocks``.

    Where the control may be stored, its images of the other seeds, and their forwards, are the most that are made.
    """
    if not cost.prompts:
        return counted(cost.cases, "case")
    most = "at most " if control_may_be_stored else ""
    twice = ", each twice for guidance" if cost.guided else ""
    return (
        f"{counted(cost.cases, 'case')}: {counted(cost.images, 'image')} and {most}{cost.control_images:,} of the "
        f"control, {most}{cost.forwards:,} forwards of {counted(cost.together, 'image')}{twice}, "
        f"{cost.work:.2f} of the control's blocks"
    )


def power_line(cost: Cost, unit: float | None) -> str:
    """``64 prompts x 1 seed: a harm is known to about ±0.35 sd (±0.52 points) ...``; empty for fewer than two prompts.

    ``unit`` is the unit of harm in points of the score, None where none is stored.
    """
    if cost.half_width is None:
        return ""
    apart = ""
    if cost.told_apart is not None:
        apart = (
            f"; two of {counted(cost.cases, 'variant')} are told apart from about {_sized(cost.told_apart, unit)} on"
        )
    return (
        f"{counted(cost.prompts, 'prompt')} x {counted(cost.variant_seeds, 'seed')}: harm is known to about "
        f"\u00b1{_sized(cost.half_width, unit)} where images change as much as by another seed{apart}"
    )


def _sized(sds: float, unit: float | None) -> str:
    return f"{sds:.2f} sd" if unit is None else f"{sds * unit:.2f} points ({sds:.2f} sd)"
