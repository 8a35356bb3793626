"""Any other text-to-image pipeline: every strategy on all of its stacks (docs/checkpoints.md).

Runs only where ``--dit-checkpoint`` names a checkpoint of a family that has no cases of its own.
"""

import pytest

from harness import ALL_STRATEGIES, SAME_COST, Ask

pytestmark = pytest.mark.dit(
    "others",
    Ask((), ("each",), ("skip",)),
    Ask((), ("middle",), ALL_STRATEGIES),
    SAME_COST,
)


def test_ablation(ablation):
    """Harm, drift and collapses of the variant's images, against the stored baseline."""
    ablation.check(ablation.measure())


def test_latency(ablation, benchmark):
    """The speed-up of the transformer's forward, control and variant interleaved."""
    ablation.time(benchmark)
