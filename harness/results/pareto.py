"""The Pareto front of harm and time: variants that no other one beats on both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.results.latency import Latency


def pareto_front(
    harm: np.ndarray[tuple[int], np.dtype[np.float64]],
    stacks: Sequence[str],
    latency: Sequence[Latency | None],
    modified: Sequence[bool],
) -> list[bool]:
    """True where a variant surely saves time, and surely more than every variant of its kind that is less harmful.

    Plans are one kind, and what has modifiers (``modified``), such as fewer steps, the other: which blocks can go is a
    question that a better rival leaves open.

    Saving time is sure where blocks are left out (``theory`` above 1) and the whole interval of the speed-up is above
    1: a permutation runs every block, and one in forty of them has an interval above 1 by chance. Of two variants of
    one stack, whose blocks cost the same, the one that leaves out more is faster; between stacks the intervals of the
    speed-ups have to be apart.
    """

    def stands_against(i: int, mine: Latency, j: int, other: Latency | None) -> bool:
        """Whether variant j is as good a reason to run as i: no more harmful, and not surely slower."""
        if i == j or modified[i] != modified[j] or other is None or other.theory <= 1 or harm[j] > harm[i]:
            return False
        if stacks[i] == stacks[j]:
            return other.theory > mine.theory or (other.theory == mine.theory and harm[j] < harm[i])
        return other.high >= mine.low if harm[j] < harm[i] else other.low > mine.high

    return [
        mine is not None
        and mine.theory > 1
        and mine.low > 1
        and not any(stands_against(i, mine, j, other) for j, other in enumerate(latency))
        for i, mine in enumerate(latency)
    ]
