"""What the declaration of a figure, or of another column of the ranked table, says."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class RankedBy(enum.StrEnum):
    """What a ranking is ordered by. Each of the two has a table of its own."""

    HARM = "harm"
    SPEED = "speed-up"  # where no images are made, as with random weights


class Better(enum.StrEnum):
    """The side of a figure that one wants."""

    LOWER = "lower"
    HIGHER = "higher"


HARM_TABLE = frozenset({RankedBy.HARM})
SPEED_TABLE = frozenset({RankedBy.SPEED})
BOTH_TABLES = HARM_TABLE | SPEED_TABLE
# Columns whose ``dropped`` is this or more go only after the cells of the others were shortened.
SHORTENED = 10
TIER = 20  # the last to go


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the ranked table.

    ``name`` is its key in files, ``label`` heads it, ``legend`` says in sentences what it shows. ``tables`` are the
    rankings that have it; it is ``optional`` where it is shown only if a variant has it, and then stands before the
    last column. One with a ``brief``, which says it in a few words, is also in the short table of what can go, and in
    the terminal's, which has the others where they are asked for.
    ``strategies`` puts it into the summary per strategy. ``text`` is aligned left. On a narrow terminal, columns are
    left out in the order of ``dropped``, those with None never.
    """

    name: str
    legend: str
    brief: str = ""
    label: str = ""
    unit: str = ""
    tables: frozenset[RankedBy] = frozenset()
    optional: bool = False
    strategies: bool = False
    text: bool = False
    dropped: int | None = None

    @property
    def heading(self) -> str:
        """``harm [sd]``: the label, with the unit where there is one."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


@dataclass(frozen=True, kw_only=True)
class Figure(Column):
    """A number that is measured; ``name`` is its key in ``Measurement.summary``, CSV, JSON and baselines.

    ``form`` is how a table writes it (``negated``: its negative), ``count`` says that it is a whole number, which
    gates compare exactly. ``better`` is None where neither side is.

    ``gated``, ``control_gated`` and ``latency_gated`` figures are those that the ``tolerances.toml`` which comes with
    the harness makes a gate, in the record of a case, of the control and of a timing; a ``tolerances.toml`` of one's
    own decides for itself. ``stored`` figures are kept in the baseline of a case, gated or not; ``files`` figures are
    in ranking.csv and ranking.json. A figure that ``restates`` another one is that figure in another unit, so two runs
    are not compared in both.

    A ``paired`` figure is the mean over images of the measurement's values of the same name, in units of the summary's
    figure ``scale`` where that is named: two runs are then compared prompt by prompt.
    """

    form: str = ".4g"
    count: bool = False
    negated: bool = False
    better: Better | None = None
    gated: bool = False
    control_gated: bool = False
    latency_gated: bool = False
    stored: bool = False
    files: bool = False
    restates: str = ""
    paired: bool = False
    scale: str = ""

    @property
    def words(self) -> str:
        """The name as words: ``latent drift``."""
        return self.name.replace("_", " ")
