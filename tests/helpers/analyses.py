"""Made-up analyses of models of several shapes, for figures."""

from __future__ import annotations

import base64

import numpy as np

from harness.analysis.profile import Profile, Stream, Velocity
from harness.report.figures import sheets
from harness.report.figures.html_traces import interactive
from harness.results.statistics import Interval

MODELS = {
    "flux-tiny": ({"double": 6, "single": 12}, 4, 8),
    "flux": ({"double": 19, "single": 38}, 10, 28),
    "sd3": ({"joint": 24}, 10, 28),
    "aura": ({"double": 4, "single": 32}, 10, 50),
    "deep": ({"transformer": 57}, 3, 4),
}
EMPTY = 1  # the bin that saw no sample


def unpacked(spec):
    """The array of what `packed` wrote."""
    flat = np.frombuffer(base64.b64decode(spec["bdata"]), dtype="<f4").astype(np.float64)
    return flat.reshape([int(n) for n in spec["shape"].split(",")]) if "shape" in spec else flat


def stream(stack, name, length, bins, rng):
    states = length + 1 - (name == "text" and stack == "joint")
    walk = np.cumsum(rng.normal(size=(bins, states, 16)), axis=1)
    unit = walk / np.linalg.norm(walk, axis=-1, keepdims=True)
    centred = unit @ unit.transpose(0, 2, 1)
    angular = np.arccos(np.clip(np.diagonal(centred, offset=1, axis1=1, axis2=2), -1, 1)) / np.pi
    count = np.arange(bins, dtype=float) + 1
    cosine = 1 - (1 - centred) / 20
    for table in (centred, cosine, angular, count):
        table[EMPTY] = 0 if table is count else np.nan
    draws = np.repeat(np.nanmean(centred, axis=0)[None], 2, axis=0)
    angles_drawn = np.repeat(np.nanmean(angular, axis=0)[None], 2, axis=0)
    return Stream(stack, name, count, cosine, centred, centred, angular, angular, draws, angles_drawn, angles_drawn)


def given_of(name, setting="trajectory", prompts=8):
    """What `write_all` takes, of the shapes of a model."""
    lengths, bins, steps = MODELS[name]
    rng = np.random.default_rng(3)
    streams = tuple(stream(s, n, length, bins, rng) for s, length in lengths.items() for n in ("image", "text"))
    profile = Profile(name, setting, prompts, np.linspace(0, 1, bins + 1), lengths, streams)
    levels = np.linspace(1, 1 / steps, steps)
    harm = {s: rng.normal(size=(n, prompts)) * 0.3 + rng.pareto(2, size=(n, 1)) for s, n in lengths.items()}
    tables = {s: rng.normal(size=(n, n)) for s, n in lengths.items()}
    for table in tables.values():
        np.copyto(table, table + table.T)
        np.fill_diagonal(table, np.nan)
    return {
        "trajectory": profile,
        "velocities": {
            s: Velocity(name, s, levels, 10 ** rng.normal(-2, 0.5, size=(prompts, steps, n)))
            for s, n in lengths.items()
        },
        "groups": {s: (0, 1, n - 2) for s, n in lengths.items()},
        "harm": harm,
        "drift": {s: rng.random(n) for s, n in lengths.items()},
        "interactions": {s: (t, np.abs(t) > 2.5) for s, t in tables.items()},
        "predictors": {
            s: {f"measure {i}": (h.mean(axis=1) ** (i + 1), Interval(0.5, 0.1, 0.8)) for i in range(4)}
            for s, h in harm.items()
        },
    }


def sheets_of(name):
    found = given_of(name)
    return sheets(name, profiles=[found.pop("trajectory")], **found)


def near(a, b):
    """Equal to single precision, NaN where NaN."""
    np.testing.assert_allclose(a, b, rtol=2e-7, atol=1e-7)


def traces(sheet):
    return interactive(sheet)["data"]
