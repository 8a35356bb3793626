"""Metrics by name: what can be asked for, and what other packages add."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.errors import ExtensionError, HarnessError
from harness.metrics import registry
from harness.metrics.metric_set import MetricSet
from tests.helpers.metrics import read, some

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lpip"], r"unknown metric 'lpip' \(did you mean 'lpips'\?\); there are inception, lpips, dinov2, pickscore"),
        (["qq"], "unknown metric 'qq'; there are inception"),
        ([""], "unknown metric ''"),
        (["lpips="], "metric 'lpips=': nothing after '='; give a folder, a file or a hub id"),
        (["lpips", "lpips=x"], "metric 'lpips' is asked for twice"),
        (["none", "lpips"], "'none' leaves all metrics out; it can't stand beside another"),
    ],
)
def test_what_is_asked_for_wrongly_is_named(texts, message):
    with pytest.raises(HarnessError, match=message):
        registry.open_all(texts, CPU, trying=False)


ADDED = """
import numpy as np
from harness.metrics.base import Grader, PairDistance

class Shift(PairDistance):
    id, weights = "shift", "3" * 12
    def __init__(self, where):
        self.where = where
    def __call__(self, a, b):
        return np.abs(a.astype(float) - b).mean(axis=(1, 2, 3))

class Bare(PairDistance):
    def __call__(self, a, b):
        return np.zeros(len(a))

class Halves(Grader):
    id, weights, grades = "halves", "5" * 12, ("left", "right")
    def __call__(self, images, texts):
        left, right = np.split(images, 2, axis=-1)
        return {"left": left.mean(axis=(1, 2, 3)) / 255, "right": right.mean(axis=(1, 2, 3)) / 255}

class Ungraded(Halves):
    grades = "left"

def halves(where, device):
    return Halves()

def ungraded(where, device):
    return Ungraded()

def shift(where, device):
    return Shift(where)

def fails(where, device):
    raise OSError("no such thing")

def other(where, device):
    return 3

def bare(where, device):
    return Bare()

NUMBER = 4
"""
POINTS = ("shift", "halves", "ungraded", "fails", "other", "bare", "NUMBER", "gone")


@pytest.fixture
def another_package(package):
    """An installed package that adds metrics."""
    lines = [f"{point.lower()} = dit_more:{point}" for point in POINTS]
    package("dit-more", "\n".join(["[harness.metrics]", *lines, ""]), ADDED, version="1.5")


def test_metrics_of_other_packages_are_found_by_entry_point(another_package):
    (metric,) = registry.open_all(["shift=somewhere"], CPU, trying=False).metrics
    assert (metric.name, metric.where) == ("shift", "somewhere")
    seeds = [read(MetricSet((metric,)), some(4, seed)) for seed in range(2)]
    panel = MetricSet((metric,))
    assert panel.fingerprint == {"shift": "shift 333333333333"}
    assert panel.compare(seeds[0], seeds[1], panel.control(seeds))[1] == {"shift.drift": 1.0}


def test_a_grader_of_another_package_has_a_column_for_each_grade(another_package):
    graded = MetricSet(registry.open_all(["halves"], CPU, trying=False).metrics)
    base, dark = some(4, 0), some(4, 0)
    dark[..., :4] = 0
    control = graded.control([read(graded, base)])
    summary = graded.compare(read(graded, base), read(graded, dark), control)[1]
    assert graded.fingerprint == {"halves": "halves 555555555555"}
    assert summary == {"halves.left_loss": pytest.approx(control["halves.left"]), "halves.right_loss": 0.0}


def test_the_example_in_the_documentation_works(package):
    text = (Path(__file__).parents[2] / "docs" / "measurement.md").read_text()
    code, points = (text.split(f"```{kind}\n")[1].split("```")[0] for kind in ("python", "toml"))
    package("dit-sharpness", points.replace('project.entry-points."', "").replace('"', ""), code)
    panel = MetricSet(registry.open_all(["sharpness"], CPU, trying=False).metrics)
    smooth = np.full((4, 3, 8, 8), 100, np.uint8)
    summary = panel.compare(read(panel, some(4, 0)), read(panel, smooth), {})[1]
    assert summary["sharpness.delta"] < -50


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", "can't be made: OSError: no such thing"),
        ("other", "gives a int, where an Embedder, a PairDistance, a TextScorer or a Grader is needed"),
        ("ungraded", "gives a Grader without 'grades', a tuple of the names of what it grades"),
        ("bare", "gives a metric without the text 'id', which the fingerprint needs"),
        ("number", r"is a int, where a function of \(where, device\) is needed"),
        ("gone", "doesn't load: AttributeError"),
    ],
)
def test_a_broken_one_is_named_with_its_package(another_package, name, message):
    with pytest.raises(ExtensionError, match=f"metric '{name}' of package dit-more 1.5 {message}"):
        registry.open_all([name], CPU, trying=False)
