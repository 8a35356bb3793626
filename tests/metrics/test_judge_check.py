"""The check that a judge has to pass: the bundled one does, and judges with a known fault are refused for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy import ndimage

from harness.metrics.judge import OpenClipJudge
from harness.metrics.judge_check import LEAST, MOST, _blurred, _coarse, _ladders, check_judge
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.judge_check import JudgeCheck
from harness.results.records import Measurement


@pytest.fixture(scope="module")
def few(scenes):
    _, images, texts = scenes
    return images[:40], texts[:40]


class Faulty:
    """The bundled judge with one fault."""

    def __init__(self, judge, *, score=None, embed=None):
        self._judge, self._score, self._embed = judge, score, embed

    def embed_images(self, images):
        features = self._judge.embed_images(images)
        return features if self._embed is None else self._embed(images, features)

    def score(self, features, texts):
        return self._judge.score(features, texts) if self._score is None else self._score(features, texts)


def test_the_bundled_judge_passes(judge, few):
    check = check_judge(judge, *few)
    assert (check.faults, check.unchecked, check.refused) == ((), "", False)
    assert check.prompts == MOST
    assert list(check.lower) == [
        *("blank", "noise", "other prompts"),
        *(f"{name} {rung}" for name in ("blur", "grain", "pixels") for rung in (1, 2, 3)),
    ]
    assert min(check.lower[name] for name in ("blank", "noise", "other prompts")) > 30
    assert check.sentence.startswith("the judge was checked on 16 of the control's images (mean score 9")
    assert check == check_judge(judge, *few), "nothing in it is left to chance"


def test_figures_are_plain_means(judge, few):
    """Another way to the same numbers, on few enough prompts that all of them are looked at."""
    images, texts = few[0][:MOST], few[1][:MOST]
    check = check_judge(judge, images, texts)
    right = judge.score(judge.embed_images(images), texts)
    grey = judge.score(judge.embed_images(np.full_like(images, 128)), texts)
    assert check.score == pytest.approx(right.mean(), abs=1e-3)
    assert check.lower["blank"] == pytest.approx((right - grey).mean(), abs=1e-3)
    others = [
        judge.score(judge.embed_images(images[i : i + 1]), [text])[0]
        for i in range(MOST)
        for j, text in enumerate(texts)
        if i != j
    ]
    assert check.lower["other prompts"] == pytest.approx(right.mean() - np.mean(others), abs=1e-3)


def test_a_judge_that_does_not_read_the_prompt_is_refused(judge, few):
    deaf = Faulty(judge, score=lambda features, texts: judge.score(features, [few[1][0]] * len(texts)))
    check = check_judge(deaf, *few)
    assert check.refused
    assert any(fault.startswith("images of other prompts are not surely scored lower") for fault in check.faults)


def test_a_judge_that_likes_blanks_or_noise_is_refused(judge, few):
    def embed(images, features):
        dull = images.reshape(len(images), -1).std(axis=1) < 3
        return np.where(dull[:, None], judge.embed_texts(few[1][:1]), features)

    # A blank scores like the first prompt's own text: far above the control's images for that, far below for others.
    favours = Faulty(judge, embed=embed, score=lambda f, texts: 100 - judge.score(f, texts))
    faults = check_judge(favours, *few).faults
    assert any(fault.startswith("blank images are not surely scored lower") for fault in faults)
    assert any(fault.startswith("images of noise are not surely scored lower") for fault in faults)


def test_a_judge_that_prefers_soft_images_is_refused(judge, few):
    """It looks at blurred images as if they were sharp, and at sharp ones as if they were damaged."""

    def embed(images, features):
        steps = (np.diff(images.astype(float), axis=-1) ** 2).mean(axis=(1, 2, 3))
        return np.concatenate([features, -steps[:, None]], axis=1).astype(np.float32)

    softness = Faulty(judge, embed=embed, score=lambda f, texts: judge.score(f[:, :-1], texts) + f[:, -1])
    faults = check_judge(softness, *few).faults
    assert any(fault.startswith("blur of strength 1 scores higher than of strength 0 (+") for fault in faults)


def test_a_judge_with_random_weights_is_refused(few, tmp_path):
    folder = tmp_path / "judge"
    shutil.copytree(BUNDLED / "judge", folder)
    weights = folder / "open_clip_model.safetensors"
    mixed = torch.Generator().manual_seed(0)
    state = {
        name: values.flatten()[torch.randperm(values.numel(), generator=mixed)].view_as(values).contiguous()
        for name, values in load_file(weights).items()
    }
    save_file(state, weights, metadata={"format": "pt"})
    check = check_judge(OpenClipJudge(folder, torch.device("cpu")), *few)
    assert check.refused
    assert "--dit-trust-judge" in check.sentence
    trusted = replace(check, overruled=True)
    assert not trusted.refused
    assert trusted.sentence.startswith("THE JUDGE FAILED ITS CHECK and ranks all the same, as asked: ")


def test_a_model_that_makes_noise_is_not_ranked_either(judge, few):
    noise = np.random.default_rng(3).integers(0, 256, few[0].shape, dtype=np.uint8)
    assert check_judge(judge, noise, few[1]).refused


def test_with_few_prompts_nothing_is_known_and_nothing_refused(judge, few):
    check = check_judge(judge, few[0][: LEAST - 1], few[1][: LEAST - 1])
    assert (check.refused, check.unchecked) == (False, "that needs 8 prompts, there are 7")
    assert check.sentence == "the judge was not checked: that needs 8 prompts, there are 7"
    assert check_judge(judge, few[0][:LEAST], few[1][:LEAST]).faults == ()


@pytest.mark.parametrize("size", [(40, 40), (64, 96), (131, 97)])
def test_each_rung_is_further_from_the_image_than_the_one_before(size):
    image = ndimage.gaussian_filter(np.random.default_rng(4).normal(0, 900, (1, 3, *size)), (0, 0, 1, 1)) + 128
    images = np.clip(image, 0, 255).astype(np.uint8)
    for name, rungs in _ladders(images):
        far = [float(((rung.astype(float) - images) ** 2).mean()) for rung in rungs]
        assert 0 < far[0] < far[1] < far[2], (name, far)


def test_a_wide_blur_is_a_gaussian_and_moves_nothing():
    image = np.zeros((1, 3, 400, 400), dtype=np.uint8)
    image[:, :, 190:210, 150:250] = 255
    where = np.indices((400, 400))
    for rung in (1, 2, 3):
        sigma = 4.0 * 2**rung
        gaussian = ndimage.gaussian_filter(image.astype(float), (0, 0, sigma, sigma))
        blurred = _blurred(image, rung)[0, 0].astype(float)
        assert np.abs(blurred - gaussian[0, 0]).max() < 0.06 * 255
        centre = [(where[axis] * blurred).sum() / blurred.sum() for axis in (0, 1)]
        assert centre == pytest.approx([199.5, 199.5], abs=0.05)


@given(height=st.integers(40, 90), width=st.integers(40, 90), rung=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_mosaic_keeps_the_mean_of_each_cell(height, width, rung):
    images = np.random.default_rng(5).integers(0, 256, (1, 3, height, width), dtype=np.uint8)
    coarse = _coarse(images, rung)
    assert coarse.shape == images.shape
    assert len(np.unique(coarse[0, 0])) <= (40 // 2**rung) ** 2
    cells = 40 // 2**rung
    row, column = (np.arange(side) * cells // side for side in images.shape[2:])
    for i in range(cells):
        cell = np.ix_(row == i, column == i)
        assert np.abs(coarse[0, 0][cell] - images[0, 0][cell].mean()).max() <= 0.5


def test_a_record_keeps_the_check(judge, few):
    from harness.results.records import from_json
    from tests.helpers.records import quality

    record = quality("skip", 0.5)
    check = JudgeCheck(16, 96.0, {"blank": 90.0}, ("a fault",), overruled=True)
    measured = replace(record.measurement, judge_check=check, texts=("a", "b"), categories=("x", "y"))
    record = replace(record, measurement=measured)
    assert from_json(json.loads(json.dumps(record.to_json()))) == record
    old = json.loads(json.dumps(record.to_json()))
    for name in ("judge_check", "texts", "categories"):
        del old["measurement"][name]  # a line that was written before there were any
    assert isinstance(from_json(old).measurement, Measurement)
    assert from_json(old).measurement.judge_check is None
