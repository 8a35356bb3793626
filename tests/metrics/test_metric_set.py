"""From extra metrics to columns, on metrics as another package would write them; and distances between sets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.image import structural_similarity_index_measure

from harness.ablation.plan import identity, parse
from harness.errors import MetricError
from harness.lab.lab import Lab
from harness.metrics import distribution, pairs
from harness.metrics.base import Embedder, Grader, PairDistance, TextScorer
from harness.metrics.metric_set import MetricSet
from harness.metrics.sentences import Pieces
from harness.models.checkpoints.resolve import resolve
from harness.report.ranking_page import markdown
from harness.report.ranking_table import heads, nested
from harness.report.ranking_terminal import render
from harness.results.ranking import rank
from harness.results.records import Kind, Record, Status, Verdict, from_json


class Means(Embedder):
    name, id, weights = "means", "mean colours of quarters", "0" * 12

    def __call__(self, images):
        n, c, h, w = images.shape
        return images.reshape(n, c, 2, h // 2, 2, w // 2).mean(axis=(3, 5)).reshape(n, -1).astype(np.float32)


class Gap(PairDistance):
    name, id, weights = "gap", "largest difference", "1" * 12

    def __call__(self, a, b):
        return np.abs(a.astype(float) - b).max(axis=(1, 2, 3))


class Redness(TextScorer):
    name, id, weights = "redness", "red, where the text says so", "2" * 12

    def __call__(self, images, texts):
        return images[:, 0].mean(axis=(1, 2)) * np.array(["red" in text for text in texts])


class Tones(Grader):
    name, id, weights = "tones", "brightness, and how much of it is blue", "4" * 12
    grades = ("bright", "blue")

    def __call__(self, images, texts):
        return {name: part.mean(axis=(1, 2, 3)) / 255 for name, part in (("bright", images), ("blue", images[:, 2:]))}


def some(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)


@pytest.fixture
def panel():
    return MetricSet((Means(), Gap(), Redness()), (("lpips", "no weights"),))


def read(panel, images):
    return images, panel.read(images, ["a red cat"] * len(images))


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

    with pytest.raises(MetricError, match=f"metric 'tones': {message}; mend the metric, or leave it out"):
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

    with pytest.raises(MetricError, match=f"metric 'means': {message}; mend the metric, or leave it out"):
        MetricSet((Broken(),)).read(some(4, 0), ["a"] * 4)


# --- distances between sets, and of pairs ---


@given(st.integers(0, 1000), st.sampled_from([(32, 40, 8), (40, 33, 64), (36, 36, 200)]))
def test_frechet_is_torchmetrics_fid(seed, shape):
    n, m, d = shape
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = (rng.normal(size=(m, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)).astype(np.float32)
    assert distribution.frechet(x, y) == pytest.approx(distribution.fid(x, y), rel=1e-3)


def test_frechet_of_equal_sets_is_nothing_and_of_few_is_refused():
    x = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    assert distribution.frechet(x, x.copy()) == 0
    with pytest.raises(ValueError, match="at least 32 images, got 8 and 40"):
        distribution.frechet(x[:8], x)


def test_pairs_in_portions_are_the_same_bitwise(monkeypatch):
    a, b = some(7, 0).repeat(3, axis=2).repeat(3, axis=3), some(7, 1).repeat(3, axis=2).repeat(3, axis=3)
    whole = pairs.mse(a, b), pairs.ssim(a, b)
    monkeypatch.setattr(pairs, "PIXELS", 2 * 24 * 24)
    assert all(np.array_equal(x, y) for x, y in zip(whole, (pairs.mse(a, b), pairs.ssim(a, b)), strict=True))
    x, y = (torch.from_numpy(t).double() / 255 for t in (a, b))
    direct = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none")
    assert np.allclose(whole[1], direct.numpy(), atol=1e-12)
    assert pairs.ssim(a[:1], b[:1]) == pytest.approx(whole[1][:1])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 99))
def test_pieces_are_averaged_by_prompt(counts, seed):
    split = Pieces.of([[f"{i}.{j}" for j in range(count)] for i, count in enumerate(counts)])
    values = np.random.default_rng(seed).normal(size=sum(counts)).astype(np.float32)
    for i, count in enumerate(counts):
        own = values[split.rows == i]
        assert len(own) == count
        assert split.mean(values)[i] == pytest.approx(own.mean(), abs=1e-6)
        assert split.least(values)[i] == own.min()
        if count == 1:
            assert split.mean(values)[i] == own[0]


# --- in a lab, and in its table ---


@pytest.fixture(scope="module")
def measured():
    """A lab on 32 prompts, two of them long, with a judge that reads 20 tokens and three extra metrics."""
    checkpoint = resolve("flux-tiny")
    settings = dataclasses.replace(checkpoint.settings, seeds=2, max_sequence_length=64)
    prompts = Lab(checkpoint).prompts[:36]
    long = [" ".join(f"A {text[2:]}." for text in prompts[i : i + 3]) for i in (30, 33)]
    lab = Lab(dataclasses.replace(checkpoint, settings=settings), prompts=[*prompts[:30], *long], metrics=["none"])
    lab.metrics = MetricSet((Means(), Gap(), Redness(), Tones()), (("lpips", "no weights: x is not there"),))
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
    assert set(heads(ranking)[0]) >= set(extra)
    text = markdown(records, [ranking])
    assert all(f" {name} " in text for name in extra)
    assert "\nleft out: lpips (no weights: x is not there)\n" in text
    assert "Of extra metrics, drift is" in text
    wide, narrow = (render(records, width, colour=False) for width in (200, 80))
    assert all(name in wide for name in extra)
    assert "redness" not in narrow
    for shown in (wide, narrow):
        assert "left out: lpips (no weights: x is not there)" in shown
    row = nested(ranking)["rows"][0]
    assert row["redness.delta"] == skipped.summary["redness.delta"]
    assert nested(ranking)["left_out"] == {"lpips": "no weights: x is not there"}


def test_without_them_the_table_is_as_it_was(measured):
    lab, skipped, _ = measured
    plain = {k: v for k, v in skipped.summary.items() if "." not in k and k != "clip_min"}
    (ranking,) = rank([record(lab, dataclasses.replace(skipped, summary=plain, left_out={}))])
    assert not any(name in " ".join(heads(ranking)[0]) for name in ("means", "gap", "redness", "min"))
    text = markdown([record(lab, skipped)], [ranking])
    assert "left out" not in text
    assert "Of extra metrics" not in text
