"""FLUX: every strategy on the ranges of both stacks."""

import pytest

from harness.case import Ask

STACKS = ("double", "single")
EVERY = (
    *("skip", "repeat", "reverse", "shuffle.s0", "shuffle.s1", "shuffle.s2", "parallel", "parallel.t3"),
    *("swap", "parallel-sum", "parallel-root"),
)
MAIN = ("skip", "repeat", "reverse", "shuffle.s0", "shuffle.s1", "shuffle.s2", "parallel", "parallel.t3")

pytestmark = pytest.mark.dit(
    "flux-tiny",
    Ask(STACKS, ("each",), ("skip",)),
    Ask(STACKS, ("middle",), EVERY),
    Ask(STACKS, ("first", "last", "middle-lower", "middle-upper"), MAIN),
)


def test_ablation(ablation):
    """Harm, drift and collapses of the variant's images, against the stored baseline."""
    ablation.check(ablation.measure())


def test_latency(ablation, benchmark):
    """The speed-up of the transformer's forward, control and variant interleaved."""
    ablation.time(benchmark)
