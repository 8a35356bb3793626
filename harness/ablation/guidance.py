"""Passes of classifier-free guidance: in which of the two a plan holds, where it doesn't hold in both.

Guidance runs the model twice a step, without the prompt and with it, and goes on from the first result beyond the
second. Skip-layer guidance leaves blocks out in one pass alone. A pass is written in a case's id behind the strategy:
``...-L05-skip-uncond``, in a window of steps ``...-L05-skip-uncond-steps-0-1``.
"""

from __future__ import annotations

import enum
import re

from harness.ablation import steps
from harness.errors import CaseError
from harness.spelling import did_you_mean


class GuidancePass(enum.StrEnum):
    """One of the two passes, by the word that names it in ids and for ``-k``."""

    UNCONDITIONAL = "uncond"  # with the negative prompt
    CONDITIONAL = "cond"  # with the prompt


WORD = "one-pass"  # for -k, of either
SHARE = 0.5  # of the images that a forward takes, those of one pass


def read(text: str) -> GuidancePass:
    """The pass of ``uncond`` or ``cond``. Raises CaseError for another text."""
    if text not in list(GuidancePass):
        raise CaseError(
            f"{text!r} is no pass of guidance{did_you_mean(text, GuidancePass)}; write uncond (the pass with the "
            "negative prompt) or cond (the one with the prompt)"
        )
    return GuidancePass(text)


def suffix(guidance_pass: GuidancePass | None, window: steps.Window | None) -> str:
    """What follows the strategy in an id: ``-uncond-steps-0-1``; nothing for both passes in all steps."""
    return (f"-{guidance_pass}" if guidance_pass is not None else "") + steps.suffix(window)


def split(text: str) -> tuple[str, GuidancePass | None, steps.Window | None]:
    """The text without such an ending, its pass and its window: ``skip-cond-steps-2`` is ``skip``, cond and (2, 2)."""
    text, window = steps.split(text)
    match = re.fullmatch(rf"(.+)-({'|'.join(GuidancePass)})", text)
    return (text, None, window) if match is None else (match[1], GuidancePass(match[2]), window)


def check_two_passes(checkpoint: str, *, guided: bool) -> None:
    """Raise CaseError for a checkpoint that isn't sampled with guidance in two passes."""
    if not guided:
        raise CaseError(
            f"checkpoint {checkpoint!r} is sampled in a single pass, without classifier-free guidance, or with its two "
            "passes in forwards of their own, so a plan can't hold in one of two passes; leave out the pass"
        )
