"""What a model has to lose: the harm of images that ignore their prompts, and a variant's harm in percent of it.

Claims about harm (:mod:`harness.findings`) and the column ``lost %`` of the ranking are judged on this one scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.lab.observation import Observation
from harness.metrics.judge_check import ScoresImages
from harness.results.arrays import Values
from harness.results.share import share_interval


def prompt_ignoring_harm(judge: ScoresImages, control: Observation, prompts: Sequence[str]) -> Values:
    """(P,) harm, in points of the score, of a model that ignores its prompt: the most alignment there is to lose.

    For each prompt, the score of the control's image with it, minus that image's mean score with all other prompts;
    NaN for a single prompt, which has no others.
    """
    count = len(prompts)
    if count < 2:
        return np.full(count, np.nan)
    others = np.zeros(count)
    for shift in range(1, count):
        others += judge.score(control.features, [prompts[(i + shift) % count] for i in range(count)])
    return np.asarray(control.scores - others / (count - 1), dtype=np.float64)


def lost_percent(harm: Values, to_lose: Values) -> dict[str, float]:
    """The figures of (P,) ``harm`` in percent of what there is ``to_lose`` (P,), both in points of the score.

    The interval is Fieller's, infinite where what there is to lose isn't surely above 0. Nothing where it isn't above
    0 at all, as with a judge that doesn't read its prompt, and for a single prompt.
    """
    whole = float(to_lose.mean())
    if not (np.isfinite(whole) and whole > 0):
        return {}
    lost = share_interval(harm, to_lose)
    return {
        "to_lose": whole,
        "lost_percent": 100 * lost.value,
        "lost_percent_low": 100 * lost.low,
        "lost_percent_high": 100 * lost.high,
    }
