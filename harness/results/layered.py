"""What was measured of a variant of a model that takes an image apart into RGBA layers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd
from rich.console import Console
from rich.table import Table

from harness.results.arrays import Array, Values
from harness.results.layer_figures import LayerDistances, layer_figures

COMPOSITE, MEAN = "composite", "mean of layers"
_WIDTH = 80
_NOTHING = "-"


@dataclass(frozen=True)
class LayerHarm:
    """Points of the judge's score that the variant's images score less than the control's.

    ``layers`` (N, L) is of each layer alone, ``composite`` (N,) of the layers one over the other. ``seed_sd`` is the
    standard deviation of the score of the control's composites between seeds of one picture, None with one seed.
    """

    layers: Array
    composite: Values
    seed_sd: float | None


@dataclass(frozen=True)
class LayerRow:
    """The means of one layer over all pictures and seeds, of the mean layer, or of the composite.

    ``seed_drift`` and ``seed_alpha_drift`` are the distances between two seeds of the control. What was not measured
    is None.
    """

    part: str
    drift: float
    alpha_drift: float | None
    seed_drift: float | None
    seed_alpha_drift: float | None
    harm: float | None


@dataclass(frozen=True)
class LayeredMeasurement:
    """A variant against the control, picture by picture and seed by seed; ``print`` shows the table of :attr:`rows`.

    N runs over the pictures with all ``seeds`` of each: (picture 0, seed 0), (picture 0, seed 1), ...; ``identical``
    says whether all last latents are the control's to the bit; ``collapsed`` is the number of composites that are
    constant or not finite. ``between_seeds`` are the distances between every two seeds of the control, None with one
    seed; ``harm`` is None without a judge.
    """

    plan: str
    pictures: int
    seeds: tuple[int, ...]
    identical: bool
    collapsed: int
    distances: LayerDistances
    between_seeds: LayerDistances | None
    harm: LayerHarm | None

    @property
    def rows(self) -> tuple[LayerRow, ...]:
        """Each layer, the background first, then their mean, then the composite."""
        layers = [self._row(f"layer {i}", i) for i in range(self.distances.colour.shape[1])]
        return (*layers, self._row(MEAN, slice(None)), self._composite())

    @property
    def summary(self) -> Mapping[str, float]:
        """The figures by name: ``layer_drift``, ``alpha_drift`` and ``layer_harm``, with ``_0`` and so on of one layer.

        ``composite_drift`` and ``composite_harm`` are of the composite. Harm is there with a judge only.
        """
        harm = self.harm
        out = layer_figures(self.distances, None if harm is None else harm.layers)
        return out if harm is None else out | {"composite_harm": float(harm.composite.mean())}

    def to_frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame, with the plan in front: the frames of several plans can be put together."""
        frame = pd.DataFrame([asdict(row) for row in self.rows])
        frame.insert(0, "plan", self.plan)
        return frame

    def _row(self, part: str, layers: int | slice) -> LayerRow:
        seeds = self.between_seeds
        return LayerRow(
            part,
            float(self.distances.colour[:, layers].mean()),
            float(self.distances.alpha[:, layers].mean()),
            None if seeds is None else float(seeds.colour[:, layers].mean()),
            None if seeds is None else float(seeds.alpha[:, layers].mean()),
            None if self.harm is None else float(self.harm.layers[:, layers].mean()),
        )

    def _composite(self) -> LayerRow:
        return LayerRow(
            COMPOSITE,
            float(self.distances.composite.mean()),
            None,
            None if self.between_seeds is None else float(self.between_seeds.composite.mean()),
            None,
            None if self.harm is None else float(self.harm.composite.mean()),
        )

    def __str__(self) -> str:
        """The table, with what was measured above it."""
        same = "; bitwise the control" if self.identical else ""
        fell = f"; {_counted(self.collapsed, 'composite')} collapsed" if self.collapsed else ""
        number = f"{_counted(self.pictures, 'picture')} x {_counted(len(self.seeds), 'seed')}"
        table = Table(
            title=f"{self.plan}: {number}{same}{fell}",
            title_justify="left",
            title_style="",
            box=None,
            pad_edge=False,
        )
        table.add_column("")
        for heading in ("drift", "of a seed", "alpha drift", "of a seed", "harm [points]"):
            table.add_column(heading, justify="right")
        for row in self.rows:
            drifts = (row.drift, row.seed_drift, row.alpha_drift, row.seed_alpha_drift)
            table.add_row(row.part, *(_text(value, ".3g") for value in drifts), _text(row.harm, ".2f"))
        target = io.StringIO()
        Console(file=target, width=_WIDTH, color_system=None, markup=False).print(table)
        if self.harm is not None and self.harm.seed_sd is not None:
            target.write(f"between seeds, the score of the control's composite has an sd of {self.harm.seed_sd:.2f}\n")
        return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def _text(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
