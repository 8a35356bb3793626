"""Figures of interaction: each pair counts once."""

from __future__ import annotations

import numpy as np
import pytest

from harness.report.figures.interaction import interaction
from tests.helpers.analyses import given_of, near, traces, unpacked


def test_an_interaction_counts_pairs_once_symmetric_or_half():
    table, beyond = given_of("flux-tiny")["interactions"]["single"]
    symmetric = interaction("flux-tiny", "single", table, beyond)
    upper = np.triu(np.ones_like(beyond), k=1)
    half = interaction("flux-tiny", "single", np.where(upper, table, np.nan), beyond)
    assert f"{(beyond & upper).sum()} of 66 pairs" in symmetric.caption
    assert symmetric.caption == half.caption
    heat, marks = traces(symmetric)
    near(unpacked(heat["z"]), table)
    assert heat["zmin"] == -heat["zmax"] == -np.nanmax(np.abs(table))
    names = heat["x"]
    marked = {(names.index(y), names.index(x)) for x, y in zip(marks["x"], marks["y"], strict=True)}
    assert marked == set(zip(*(i.tolist() for i in np.nonzero(beyond)), strict=True))
    with pytest.raises(ValueError, match=r"two square tables, got \(3, 4\)"):
        interaction("m", "s", np.zeros((3, 4)), np.zeros((3, 4), dtype=bool))
