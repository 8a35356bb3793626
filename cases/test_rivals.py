"""Rivals of removing layers: fewer steps, reuse, caches, other schedulers and fewer bits (docs/rivals.md).

Runs only when asked for: this file on the command line, or ``-k rivals``.
"""

import pytest

from harness import Ask

pytestmark = pytest.mark.dit_on_request("rivals")

STEPS = ("fewer-steps.1", "fewer-steps.2", "fewer-steps.3")
IN_A_RANGE = ("reuse.n2", "reuse.n4", "quant-int8", "quant-int4", "quant-fp8-e4m3", "quant-int4-outside")
CACHES = ("first-block-cache.t200", "first-block-cache.t500", "taylorseer-cache.n2.b1", "mag-cache.t500")


class Rivals:
    """What is measured of each model."""

    def test_ablation(self, ablation):
        """Harm, drift and collapses of the variant's images, against the stored baseline."""
        ablation.check(ablation.measure())

    def test_latency(self, ablation, benchmark):
        """The speed-up of all forwards of an image, control and variant interleaved."""
        ablation.time(benchmark)


@pytest.mark.dit(
    "flux-tiny",
    Ask((), (), (), (*STEPS, *CACHES, "scheduler.unipc", "layerwise-casting.fp8-e4m3")),
    Ask(("double", "single"), ("middle",), (), IN_A_RANGE),
    Ask(("double",), ("1",), ("skip",), ("fewer-steps.3", "single-L02-07-reuse.n2")),
)
class TestFlux(Rivals):
    """The one of the three that has diffusers' own caches."""


@pytest.mark.dit(
    "sd3-tiny",
    Ask((), (), (), (*STEPS, "scheduler.unipc", "scheduler.heun", "layerwise-casting.fp8-e4m3")),
    Ask(("joint",), ("middle",), (), IN_A_RANGE),
    Ask(("joint",), ("5",), ("skip",), ("fewer-steps.3",)),
)
class TestSd3(Rivals):
    """Sampled with guidance and a negative prompt."""


@pytest.mark.dit(
    "auraflow-tiny",
    Ask((), (), (), (*STEPS, "scheduler.unipc", "scheduler.heun", "layerwise-casting.fp8-e4m3")),
    Ask(("double", "single"), ("middle",), (), IN_A_RANGE),
    Ask(("single",), ("5",), ("skip",), ("fewer-steps.3",)),
)
class TestAuraFlow(Rivals):
    """The single blocks see text and image as one sequence."""
