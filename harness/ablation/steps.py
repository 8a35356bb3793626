"""Windows of denoising steps: the inclusive range of steps, 0-based, in which an ablation holds.

A window is written ``0-1`` or ``2``, and in a case's id behind the strategy: ``...-L02-04-skip-steps-0-1``. Steps are
those of the scheduler; a step may take several forwards of the transformer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.ablation.ranges import range_text
from harness.errors import CaseError

Window = tuple[int, int]
WORD = "window"  # for -k


def read(text: str) -> Window:
    """The window of ``0-1`` or ``2``. Raises CaseError naming what is wrong with it."""
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text.strip(), flags=re.ASCII)
    if match is None:
        raise CaseError(f"window {text!r} is no range of denoising steps; write a step (2) or a range (0-1), from 0")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise CaseError(f"window {text!r} runs backwards; write it from the lower step to the higher: {last}-{first}")
    return first, last


def suffix(window: Iterable[int] | None) -> str:
    """What follows the strategy in an id: ``-steps-0-1``, nothing without a window."""
    if window is None:
        return ""
    first, last = window
    return f"-steps-{range_text(first, last)}"


def split(text: str) -> tuple[str, Window | None]:
    """The text without such an ending, and its window: ``skip-steps-0-1`` is ``skip`` and (0, 1)."""
    match = re.fullmatch(r"(.+)-steps-(\d{1,4}(?:-\d{1,4})?)", text, flags=re.ASCII)
    return (text, None) if match is None else (match[1], read(match[2]))


def within(window: Window | None, steps: int, checkpoint: str) -> Window | None:
    """The window as it is in a run of ``steps`` steps: None where it covers all of them.

    A window over all steps asks for what the case without one asks for, so it gets that case's id and stored values:
    one computation has one name. Raises CaseError where the window is no such range or goes beyond the last step.
    """
    if window is None:
        return None
    first, last = window
    if not 0 <= first <= last:
        raise CaseError(f"window {first}-{last} is no range of denoising steps; it runs from a lower to a higher one")
    if last >= steps:
        raise CaseError(
            f"window {range_text(first, last)} goes beyond the {steps} denoising steps of checkpoint {checkpoint!r} "
            f"(0-{steps - 1})"
        )
    return None if last - first + 1 == steps else window


def share(window: Window | None, steps: int) -> float:
    """The share of a run's steps inside the window, in 0..1; 1 without a window, or where the steps aren't known."""
    if window is None or not steps:
        return 1.0
    return (window[1] - window[0] + 1) / steps
