"""How far two decompositions into RGBA layers are apart, how much less the judge likes one of them, and the means."""

from __future__ import annotations

from dataclasses import dataclass

from harness.results.arrays import Array, Values


@dataclass(frozen=True)
class LayerDistances:
    """Mean squared differences between decompositions of the same pictures, N of them into L layers; 0..1.

    ``colour`` (N, L) is of red, green and blue multiplied by alpha, ``alpha`` (N, L) of alpha, ``composite`` (N,) of
    the layers one over the other.
    """

    colour: Array
    alpha: Array
    composite: Values


def layer_figures(distances: LayerDistances, harm: Array | None) -> dict[str, float]:
    """The figures by name: ``layer_drift``, ``alpha_drift`` and ``layer_harm``, with ``_0`` and so on of one layer.

    ``harm`` (N, L) is that of each layer alone, in points of the judge's score; without it there is no figure of it.
    ``composite_drift`` is of the composite.
    """
    measured = {"layer_drift": distances.colour, "alpha_drift": distances.alpha}
    if harm is not None:
        measured["layer_harm"] = harm
    layers = range(distances.colour.shape[1])
    out = {f"{name}_{i}": float(values[:, i].mean()) for i in layers for name, values in measured.items()}
    out |= {name: float(values.mean()) for name, values in measured.items()}
    return {**out, "composite_drift": float(distances.composite.mean())}
