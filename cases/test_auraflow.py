"""AuraFlow: every strategy on the ranges of both stacks, and fewer steps and reuse at the same cost.

The single blocks see text and image as one sequence.
"""

import pytest

from harness import ALL_STRATEGIES, PAINTER_STRATEGIES, SAME_COST, Ask

STACKS = ("double", "single")

pytestmark = pytest.mark.dit(
    "auraflow-tiny",
    Ask(STACKS, ("each",), ("skip",)),
    Ask(STACKS, ("middle",), ALL_STRATEGIES),
    Ask(STACKS, ("first", "last", "middle-lower", "middle-upper"), PAINTER_STRATEGIES),
    SAME_COST,
)


def test_ablation(ablation):
    """Harm, drift and collapses of the variant's images, against the stored baseline."""
    ablation.check(ablation.measure())


def test_latency(ablation, benchmark):
    """The speed-up of the transformer's forwards, control and variant interleaved."""
    ablation.time(benchmark)
