"""The bundled world's checker as a metric: chosen by the checkpoint's settings, and the checker's own grades."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.lab.lab import Lab
from harness.metrics.attributes import AttributeChecker, checkpoint_graders
from harness.metrics.metric_set import MetricSet, open_metrics
from harness.models.checkpoints.resolve import resolve
from harness.models.environment import pick_device
from harness.tiny import checker, render, world

CPU = pick_device("cpu")
CAPTIONS = [
    "a large solid red circle on a grey background",
    "a small striped blue cross on a white background",
    "a large solid green square above a small striped yellow cross on a white background",
]


def pictures(captions):
    return render.render(world.parse_all(captions))


def test_its_grades_are_the_checkers():
    images = pictures(CAPTIONS[::-1])  # the first and the last are of another caption
    grades = AttributeChecker()(images, CAPTIONS)
    score = checker.score(images, world.parse_all(CAPTIONS))
    assert tuple(grades) == AttributeChecker.grades == ("grade", "all_right", *checker.ATTRIBUTES)
    assert np.array_equal(grades["grade"], score.grade)
    assert grades["all_right"].tolist() == [0.0, 1.0, 0.0]
    for name, share in score.attributes.items():
        assert np.array_equal(grades[name], share), name


def test_settings_and_prompts_choose_it():
    settings = resolve("flux-tiny").settings
    assert [grader.name for grader in checkpoint_graders(settings, CAPTIONS)] == ["checker"]
    assert checkpoint_graders(settings, [*CAPTIONS, "two dogs"]) == ()
    assert checkpoint_graders(dataclasses.replace(settings, world=False), CAPTIONS) == ()


def test_its_figures_have_their_own_names_and_the_fingerprint_is_without_it():
    chosen = open_metrics(resolve("flux-tiny").settings, CAPTIONS, ["none"], CPU)
    right, wrong = pictures(CAPTIONS), pictures(CAPTIONS[::-1])
    before, after = (right, chosen.read(right, CAPTIONS)), (wrong, chosen.read(wrong, CAPTIONS))
    control = chosen.control([before, after])
    assert control == dict.fromkeys(AttributeChecker.grades, 1.0)
    values, summary = chosen.compare(before, after, control)
    assert values["all_right_loss"].tolist() == [1.0, 0.0, 1.0]
    assert summary["grade_loss"] == pytest.approx(1 - checker.score(wrong, world.parse_all(CAPTIONS)).grade.mean())
    assert list(summary) == [f"{name}_loss" for name in AttributeChecker.grades]
    assert chosen.fingerprint == {}


def test_a_lab_measures_it_where_its_prompts_are_captions():
    lab, other = Lab("flux-tiny", prompts=CAPTIONS), Lab("flux-tiny", prompts=["a red cat", "two dogs"])
    run = lab.run("double: 0 4")
    expected = checker.score(run.output.images, world.parse_all(CAPTIONS)).grade.mean()
    first = checker.score(lab.control_images(), world.parse_all(CAPTIONS)).grade.mean()
    assert lab.control_measurement().summary["grade"] == pytest.approx(first)
    assert run.measurement.summary["grade_loss"] == pytest.approx(first - expected)
    assert "grade_loss" not in other.run("double: 0 4").measurement.summary
    assert "grade" not in other.control_measurement().summary
    assert lab.metrics == MetricSet(implied=lab.metrics.implied)
