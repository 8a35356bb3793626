"""Below the block: sublayers and streams left out, and updates scaled (docs/grains.md).

Runs only when asked for: this file on the command line, or ``-k grains``.
"""

import pytest

from harness import PART_STRATEGIES, Ask

pytestmark = pytest.mark.dit_on_request("grains")

SUBLAYERS = ("skip-attn", "skip-ff")


class Grains:
    """What is measured of each model."""

    def test_ablation(self, ablation):
        """Harm, drift and collapses of the variant's images, against the stored baseline."""
        ablation.check(ablation.measure())

    def test_latency(self, ablation, benchmark):
        """The speed-up of the transformer's forward, control and variant interleaved."""
        ablation.time(benchmark)


@pytest.mark.dit(
    "flux-tiny",
    Ask(("double", "single"), ("each",), SUBLAYERS),
    Ask(("double", "single"), ("middle",), PART_STRATEGIES),
)
class TestFlux(Grains):
    """Both stacks; a single block's attention and feed-forward share their last projection."""


@pytest.mark.dit("sd3-tiny", Ask(("joint",), ("each",), SUBLAYERS), Ask(("joint",), ("middle",), PART_STRATEGIES))
class TestSd3(Grains):
    """The one stack."""


@pytest.mark.dit(
    "auraflow-tiny",
    Ask(("double", "single"), ("each",), ("skip-attn",)),
    Ask(("double", "single"), ("middle",), ("skip-attn", "skip-text", "skip-image", "scale.f50")),
)
class TestAuraFlow(Grains):
    """Skipping the feed-forward is skipping the block there, and single blocks have no streams to tell apart."""
