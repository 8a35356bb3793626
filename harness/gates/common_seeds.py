"""Two measurements of a control on different numbers of seeds, brought to the seeds that both have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.results.records import Measurement


def on_common_seeds(a: Measurement, b: Measurement) -> tuple[Measurement, Measurement]:
    """Both controls on the first seeds, of which each has S of the same P prompts.

    A run makes the control's images of fewer seeds where its other figures are stored. Of the figures those stay that
    both runs measured, and the score is that of the seeds that are left: values are (P, S) in one row.
    """
    if a.n == b.n or a.prompts != b.prompts:
        return a, b
    seeds = min(a.n, b.n) // a.prompts
    figures = set(a.summary) & set(b.summary)
    return _on_first(a, seeds, figures), _on_first(b, seeds, figures)


def _on_first(control: Measurement, seeds: int, figures: set[str]) -> Measurement:
    values = {
        name: tuple(float(v) for v in np.reshape(row, (control.prompts, -1))[:, :seeds].ravel())
        for name, row in control.values.items()
    }
    summary = {name: value for name, value in control.summary.items() if name in figures}
    means = {name: float(np.mean(row)) for name, row in values.items()}
    return replace(control, n=control.prompts * seeds, values=values, summary={**summary, **means})
