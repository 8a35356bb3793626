"""What a sweep will cost, in one line."""

from __future__ import annotations

from harness.lab.cost import Cost
from harness.report.text import counted


def cost_line(cost: Cost) -> str:
    """``57 cases, 3,648 images and 256 of the control, 244 forwards of 64 images, 0.93 of the control's blocks``."""
    if not cost.prompts:
        return counted(cost.cases, "case")
    twice = ", each twice for guidance" if cost.guided else ""
    return (
        f"{counted(cost.cases, 'case')}: {counted(cost.images, 'image')} and {cost.control_images:,} of the control, "
        f"{cost.forwards:,} forwards of {counted(cost.together, 'image')}{twice}, "
        f"{cost.work:.2f} of the control's blocks"
    )
