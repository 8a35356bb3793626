"""From extra metrics to columns, on metrics as another package would write them; and distances between sets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.ablation.plan import identity, parse
from harness.errors import MetricError
from harness.lab.lab import Lab
from harness.metrics.metric_set import MetricSet
from harness.models.checkpoints.resolve import resolve
from harness.report.ranking_data import nested
from harness.report.ranking_page import markdown
from harness.report.ranking_table import columns_of, headings
from harness.report.ranking_terminal import render
from harness.results.columns import extra, extra_kind
from harness.results.figure import Better
from harness.results.ranking import rank
from harness.results.records import Kind, Record, Status, Verdict, from_json
from tests.helpers.metrics import Gap, Means, Redness, Tones, read, some


@pytest.fixture
def panel():
    return MetricSet((Means(), Gap(), Redness()), (("lpips", "no weights"),))


def test_a_reseed_has_drift_one_and_a_null_of_one(panel):
    seeds = [read(panel, some(40, seed)) for seed in range(3)]
    control = panel.control(seeds)
    values, summary = panel.compare(seeds[0], read(panel, some(40, 9)), control)
    for name in ("means.drift", "gap.drift", "means.fid_ratio"):
        assert summary[name] == pytest.approx(1, abs=0.25), name
    assert abs(summary["redness.delta"]) < 5
    assert set(summary) == {"means.drift", "means.fid", "means.fid_ratio", "gap.drift", "redness.delta"}
    assert set(values) == {"means.distance", "gap.distance", "redness.score", "redness.harm"}
    assert all(len(v) == 40 for v in values.values())


def test_every_figure_of_a_metric_is_declared_by_its_kind():
    kinds = {Means: ("fid", "fid_ratio", "drift"), Gap: ("drift",), Redness: ("delta",), Tones: ("GRADE_loss",) * 2}
    for kind, expected in kinds.items():
        one = MetricSet((kind(),))
        seeds = [read(one, some(40, seed)) for seed in range(2)]
        control = one.control(seeds)
        _, summary = one.compare(seeds[0], seeds[1], control)
        assert sorted(extra_kind(name).name for name in summary) == sorted(expected)
        assert {extra_kind(name).name for name in control} <= {"reseed", "fid_null", "score", "GRADE"}
        for name in summary:
            higher = extra(name).better is Better.HIGHER
            assert higher == (kind is Redness), name


def test_the_control_itself_is_no_drift_and_no_delta(panel):
    seeds = [read(panel, some(40, seed)) for seed in range(2)]
    values, summary = panel.compare(seeds[0], read(panel, some(40, 0)), panel.control(seeds))
    assert set(summary.values()) == {0.0}
    assert values["redness.score"].min() > 0


def test_less_red_is_a_negative_delta(panel):
    base = read(panel, some(40, 0))
    pale = base[0].copy()
    pale[:, 0] = pale[:, 0] // 2
    _, summary = panel.compare(base, read(panel, pale), panel.control([base, read(panel, some(40, 1))]))
    assert summary["redness.delta"] == pytest.approx(-63.75, abs=2)


def test_fid_needs_enough_images_and_is_left_out_by_name_below(panel):
    seeds = [read(panel, some(31, seed)) for seed in range(2)]
    control = panel.control(seeds)
    _, summary = panel.compare(seeds[0], seeds[1], control)
    assert "means.fid" not in summary
    assert "means.fid_null" not in control
    assert summary["means.drift"] > 0
    assert panel.left_out(31) == {"lpips": "no weights", "means FID": "needs 32 prompts, there are 31"}
    assert panel.left_out(32) == {"lpips": "no weights"}


def test_every_grade_has_its_loss_and_the_control_its_mean():
    graded = MetricSet((Tones(),))
    base = read(graded, some(6, 0))
    dark = base[0].copy()
    dark[:, 2] = 0
    control = graded.control([base, read(graded, some(6, 1))])
    values, summary = graded.compare(base, read(graded, dark), control)
    assert control == {
        "tones.bright": pytest.approx(base[0].mean() / 255),
        "tones.blue": pytest.approx(base[0][:, 2].mean() / 255),
    }
    assert set(values) == set(summary) == {"tones.bright_loss", "tones.blue_loss"}
    assert values["tones.blue_loss"] == pytest.approx(base[0][:, 2].mean(axis=(1, 2)) / 255)
    assert summary["tones.bright_loss"] == pytest.approx(control["tones.blue"] / 3)
    assert graded.fingerprint == {"tones": f"{Tones.id} 444444444444"}


def test_a_grader_that_follows_from_the_settings_may_stand_beside_one_of_its_name():
    both = MetricSet((Tones(),), implied=(Tones(),))
    base = read(both, some(6, 0))
    assert set(both.control([base])) == {"bright", "blue", "tones.bright", "tones.blue"}


@pytest.mark.parametrize(
    ("grades", "message"),
    [
        (lambda n: {"bright": np.zeros(n)}, "gave the grades bright where it names bright, blue"),
        (lambda n: {"bright": np.zeros(n), "blue": np.full(n, 1.5)}, "gave values outside 0..1 as 'blue'"),
        (lambda n: {"bright": np.zeros(n), "blue": np.zeros(1)}, "gave 1 values for 4 images"),
        (lambda n: {"bright": np.zeros(n), "blue": np.full(n, np.nan)}, "gave values that are not finite"),
    ],
    ids=["names", "range", "rows", "nan"],
)
def test_a_grader_that_gives_no_grades_is_named(grades, message):
    class Broken(Tones):
        def __call__(self, images, texts):
            return grades(len(images))

    with pytest.raises(MetricError, match=f"metric 'tones': {message}; fix the metric, or leave it out"):
        MetricSet((Broken(),)).read(some(4, 0), ["a"] * 4)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda n: np.zeros((n - 1, 3), np.float32), "gave 3x3 values for 4 images"),
        (lambda n: np.zeros(n, np.float32), "gave 4 values for 4 images"),
        (lambda n: np.full((n, 3), np.nan, np.float32), "gave values that are not finite"),
    ],
    ids=["rows", "shape", "nan"],
)
def test_a_metric_that_gives_no_numbers_is_named(found, message):
    class Broken(Means):
        def __call__(self, images):
            return found(len(images))

    with pytest.raises(MetricError, match=f"metric 'means': {message}; fix the metric, or leave it out"):
        MetricSet((Broken(),)).read(some(4, 0), ["a"] * 4)


@pytest.fixture(scope="module")
def measured():
    """A lab on 32 prompts, two of them long, with a judge that reads 20 tokens and three extra metrics."""
    checkpoint = resolve("flux-tiny")
    settings = dataclasses.replace(checkpoint.settings, seeds=2, max_sequence_length=64)
    prompts = Lab(checkpoint).prompts[:36]
    long = [" ".join(f"A {text[2:]}." for text in prompts[i : i + 3]) for i in (30, 33)]
    lab = Lab(dataclasses.replace(checkpoint, settings=settings), prompts=[*prompts[:30], *long], metrics=["none"])
    metrics = MetricSet((Means(), Gap(), Redness(), Tones()), (("lpips", "no weights: x is not there"),))
    lab.metrics, lab.observer = metrics, dataclasses.replace(lab.observer, metrics=metrics)
    return lab, lab.run(parse("0 4"), "double")[0], lab.run(identity(5), "double")[0]


def test_a_lab_measures_them_and_the_identity_is_nothing(measured):
    _, skipped, same = measured
    for name in ("means.drift", "gap.drift", "means.fid_ratio"):
        assert same.summary[name] == 0
        assert skipped.summary[name] > 0.3
    assert same.summary["redness.delta"] == same.summary["clip_min"] == same.summary["tones.blue_loss"] == 0
    assert {"means.distance", "gap.distance", "redness.harm", "score_min"} <= set(skipped.values)


def test_the_least_sentence_is_kept_beside_the_mean(measured):
    _, skipped, _ = measured
    mean, least = (np.array(skipped.values[name]) for name in ("score", "score_min"))
    assert (least[:30] == mean[:30]).all()
    assert (least[30:] < mean[30:]).all()
    assert skipped.summary["clip_min"] < 0


def test_the_fingerprint_names_them(measured):
    lab, _, _ = measured
    assert lab.fingerprint.metrics == {m.name: f"{m.id} {m.weights}" for m in (Means, Gap, Redness, Tones)}
    assert lab.control.summary()["means.fid_null"] > 0


def record(lab, measurement):
    return Record(
        kind=Kind.QUALITY,
        case="flux-tiny-double-L01-03-skip",
        nodeid="",
        checkpoint="flux-tiny",
        stack="double",
        place="L01-03",
        strategy="skip",
        plan="0 4",
        words=("middle",),
        fingerprint=lab.fingerprint,
        verdict=Verdict(Status.UNJUDGED),
        measurement=measurement,
    )


def test_the_table_has_their_columns_and_says_what_is_left_out(measured):
    lab, skipped, _ = measured
    records = [from_json(record(lab, skipped).to_json())]  # as the journal gives it back
    (ranking,) = rank(records)
    extra = ("CLIP min", "means FID/null", "means drift", "gap drift", "redness delta", "tones blue")
    assert set(headings(columns_of(ranking))) >= set(extra)
    text = markdown(records, [ranking])
    assert all(f" {name} " in text for name in extra)
    assert "\nleft out: lpips (no weights: x is not there)\n" in text
    assert text.count("`METRIC drift` is") == 1  # of two metrics
    wide, narrow = (render(records, width, colour=False, asked=["all"]) for width in (260, 80))
    assert all(name in wide for name in extra)
    table, _, note = narrow.partition("not shown at 80 columns: ")
    assert "redness" not in table
    assert "redness delta" in note
    for shown in (wide, narrow):
        assert "left out: lpips (no weights: x is not there)" in shown
    row = nested(ranking)["rows"][0]
    assert row["redness.delta"] == skipped.summary["redness.delta"]
    assert nested(ranking)["left_out"] == {"lpips": "no weights: x is not there"}


def test_without_them_the_table_is_as_it_was(measured):
    lab, skipped, _ = measured
    plain = {k: v for k, v in skipped.summary.items() if "." not in k and k != "clip_min"}
    (ranking,) = rank([record(lab, dataclasses.replace(skipped, summary=plain, left_out={}))])
    assert not any(name in " ".join(headings(columns_of(ranking))) for name in ("means", "gap", "redness", "min"))
    text = markdown([record(lab, skipped)], [ranking])
    assert "left out" not in text
    assert "METRIC" not in text
