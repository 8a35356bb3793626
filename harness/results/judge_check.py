"""Whether a judge can be trusted with a checkpoint's images, as plain data for records and reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class JudgeCheck:
    """What a judge makes of the control's images beside worse ones of the same prompts.

    ``prompts`` is the number of images, ``score`` the mean score of the control's (cosine x 100; None where it
    was not checked), and ``lower`` says
    by how many points the mean of each kind of worse image lies below it: ``blank``, ``noise``, ``other prompts``,
    and rungs of ladders of growing damage such as ``blur 2``. ``faults`` are the sentences that say what is wrong;
    ``unchecked`` is the reason where nothing could be checked. ``overruled``: a person asked to go on all the same.
    """

    prompts: int
    score: float | None
    lower: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])
    faults: tuple[str, ...] = ()
    unchecked: str = ""
    overruled: bool = False

    @property
    def refused(self) -> bool:
        """Whether nothing that this judge scored may be ranked, compared or stored."""
        return bool(self.faults) and not self.overruled

    @property
    def sentence(self) -> str:
        """One line for the foot of a table, a verdict and an error."""
        if self.unchecked:
            return f"the judge was not checked: {self.unchecked}"
        if self.faults:
            what = "; ".join(self.faults)
            if self.overruled:
                return f"THE JUDGE FAILED ITS CHECK and ranks all the same, as asked: {what}"
            return (
                f"the judge is refused: {what}. Either it can't read these images and prompts, or the un-ablated model "
                "makes no images of them; take another --dit-judge, or rank with it all the same by --dit-trust-judge"
            )
        below = ", ".join(f"{name} {points:.1f}" for name, points in self.lower.items())
        return (
            f"the judge was checked on {self.prompts} of the control's images (mean score {self.score:.1f}); it scores "
            f"lower, by points: {below}"
        )
