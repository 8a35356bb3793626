"""Blocks changed from inside: attention edges, frozen norms, a text that leaves, clamped neurons, surrogates.

Runs only when asked for: this file on the command line, or ``-k grains`` (docs/grains-inner.md).
"""

import pytest

from harness import Ask

pytestmark = pytest.mark.dit_on_request("grains")

EDGES = tuple(f"cut-edges.{edges}" for edges in ("it", "ti", "tt", "ii", "it-ti", "it-ti-tt-ii"))
NORMS = ("freeze-norm", "freeze-norm.b1", "freeze-norm.q1")
NEURONS = ("clamp-neurons.red.n8", "clamp-neurons.red.n32")
SURROGATES = ("surrogate.mean", "surrogate.linear", "surrogate.linear.b4")
ON_A_RANGE = (*EDGES, *NORMS, *NEURONS, *SURROGATES)
# Behind the last block but one nothing reads what the text would become: frozen there, it is the control.
EXITS = ("token-exit.text-dropped", "token-exit.text-frozen")


class InnerGrains:
    """What is measured of each model."""

    def test_ablation(self, ablation):
        """Harm, drift and collapses of the variant's images, against the stored baseline."""
        ablation.check(ablation.measure())

    def test_latency(self, ablation, benchmark):
        """The speed-up of the transformer's forward, control and variant interleaved."""
        ablation.time(benchmark)


@pytest.mark.dit(
    "flux-tiny",
    Ask(("double", "single"), ("middle",), (), ON_A_RANGE),
    Ask(("double",), ("0", "2", "4"), (), EXITS),
    Ask(("single",), ("4",), (), EXITS),
    Ask(("single",), ("8",), (), ("token-exit.text-dropped",)),
)
class TestFlux(InnerGrains):
    """Both stacks; text and image run together through the single one."""


@pytest.mark.dit(
    "sd3-tiny",
    Ask(("joint",), ("middle",), (), ON_A_RANGE),
    Ask(("joint",), ("0", "5", "9"), (), EXITS),
)
class TestSd3(InnerGrains):
    """The one stack; after block 10 no text is read any more but by the last block."""


@pytest.mark.dit(
    "auraflow-tiny",
    Ask(("double", "single"), ("middle",), (), ON_A_RANGE),
    Ask(("double",), ("0", "5"), (), EXITS),
    Ask(("single",), ("4",), (), EXITS),
    Ask(("single",), ("8",), (), ("token-exit.text-dropped",)),
)
class TestAuraFlow(InnerGrains):
    """Both stacks; its text stream begins with eight register tokens."""
