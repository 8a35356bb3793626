"""The modifiers that change a range of blocks from inside (docs/grains-inner.md)."""

from __future__ import annotations

import itertools

from harness.ablation.modifier import CostOf, Modifier, Parameter, Reach, Values
from harness.ablation.paired_words import GROUPS

# Query -> key, by their initials; harness.grains.attention_edges reads them.
_EDGES = {
    "it": "image->text",
    "ti": "text->image",
    "tt": "text->text",
    "ii": "image->image",
}
# The 15 sets that cut something; the sixteenth is the control.
_CUTS = {
    "-".join(some): "cuts " + " and ".join(_EDGES[edge] for edge in some)
    for n in range(1, len(_EDGES) + 1)
    for some in itertools.combinations(_EDGES, n)
}


def _skipped(_values: Values, of: CostOf) -> float:
    """The range doesn't run in the steps in which it holds."""
    return 1.0 - of.blocks * of.active / of.steps if of.steps else 1.0 - of.blocks


INNER: tuple[Modifier, ...] = (
    Modifier(
        "cut-edges",
        "attention edges between the text and the image tokens are cut in the range; written query -> key",
        "harness.modifiers.grains:CutEdges",
        Reach.RANGE,
        choices=_CUTS,
        windows=True,
    ),
    Modifier(
        "freeze-norm",
        "the norms of the range divide by constants that were calibrated on the control's run",
        "harness.modifiers.grains:FreezeNorm",
        Reach.RANGE,
        parameters={
            "b": Parameter("bins of the timestep; 0: one for each step", default=0),
            "q": Parameter("1: the norms of queries and keys, too", most=1, default=0),
        },
        windows=True,
    ),
    Modifier(
        "token-exit",
        "a stream leaves the sequence after the block that is its range, until the end of the model",
        "harness.modifiers.grains:TokenExit",
        Reach.RANGE,
        choices={
            "text-dropped": "later blocks run without the text",
            "text-frozen": "later blocks read the text as it was",
            "image-frozen": "later blocks don't change the image",
        },
        windows=True,
    ),
    Modifier(
        "clamp-neurons",
        "the feed-forward neurons of the range that a word of the prompt switches on are held at a value",
        "harness.modifiers.grains:ClampNeurons",
        Reach.RANGE,
        parameters={
            "n": Parameter("so many neurons", least=1, default=32),
            "m": Parameter("1: held at their mean without the word, 0: at zero", most=1, default=1),
        },
        choices={word: f"switched on by {word!r}" for group in GROUPS for word in group},
        windows=True,
    ),
    Modifier(
        "surrogate",
        "a map that was fitted on the control's run takes the place of the range",
        "harness.modifiers.grains:SurrogateMap",
        Reach.RANGE,
        parameters={"b": Parameter("bins of the timestep, with a map each", least=1, default=1)},
        choices={
            "mean": "adds the range's mean update",
            "linear": "a linear map by least squares",
        },
        windows=True,
        cost=_skipped,
    ),
)
