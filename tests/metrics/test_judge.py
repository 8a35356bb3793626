"""The judge: it reads the prompt, falls on a ladder of corruptions, and agrees with the exact checker."""

from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from harness.errors import CheckpointError, PromptError
from harness.metrics import openclip
from harness.metrics.judge import OpenClipJudge, _covering
from harness.models.checkpoints.resolve import BUNDLED
from harness.tiny import render, world

CPU = torch.device("cpu")


def mean_score(judge, images, texts):
    return float(judge.score(judge.embed_images(images), texts).mean())


def test_shuffled_prompts_lower_the_score(judge, scenes):
    _, images, texts = scenes
    assert mean_score(judge, images, texts[1:] + texts[:1]) < mean_score(judge, images, texts) - 30


def test_both_phrasings_score_alike(judge, scenes):
    layouts, images, texts = scenes
    other = world.captions(layouts, np.ones(len(layouts), dtype=bool))
    assert abs(mean_score(judge, images, texts) - mean_score(judge, images, other)) < 2


@pytest.mark.parametrize("corruption", ["blur", "noise", "swapped colours", "moved objects"])
def test_the_score_falls_down_a_ladder(judge, scenes, corruption):
    layouts, images, texts = scenes
    scores = [mean_score(judge, rung, texts) for rung in ladder(corruption, layouts, images)]
    assert all(a > b for a, b in pairwise(scores)), scores


def ladder(corruption, layouts, images):
    """The images as they are and then worse and worse."""
    yield images
    rng = np.random.default_rng(13)
    n = len(images)
    if corruption == "blur":
        for sigma in (0.8, 1.5, 3.0):
            yield ndimage.gaussian_filter(images.astype(float), (0, 0, sigma, sigma)).astype(np.uint8)
    elif corruption == "noise":
        noise = rng.normal(0, 255, images.shape)
        for sigma in (0.1, 0.2, 0.4):
            yield np.clip(images + sigma * noise, 0, 255).astype(np.uint8)
    else:
        for share in (0.25, 0.5, 1.0):
            hit = np.arange(n) < share * n
            changed = {name: getattr(layouts, name).copy() for name in layouts.__dataclass_fields__}
            if corruption == "swapped colours":
                changed["colour"][hit] = (changed["colour"][hit] + 1) % len(world.COLOURS)
            else:
                changed["axis"][hit] = 1 - changed["axis"][hit]
            yield render.render(world.rejitter(world.Layouts(**changed), rng))


def test_blanks_and_noise_score_worst(judge, scenes):
    _, images, texts = scenes
    right = mean_score(judge, images, texts)
    noise = np.random.default_rng(14).integers(0, 256, images.shape, dtype=np.uint8)
    for blank in (np.full_like(images, 128), np.zeros_like(images), noise):
        assert mean_score(judge, blank, texts) < right - 30


def test_one_attribute_foils_are_told_apart(judge, scenes):
    from harness.tiny.judge import mutate, same_scene

    layouts, images, texts = scenes
    mutants = mutate(layouts, np.random.default_rng(15))
    same = np.diag(same_scene(world.concatenate([layouts, mutants]))[: len(layouts), len(layouts) :])
    features = judge.embed_images(images)
    right, wrong = judge.score(features, texts), judge.score(features, world.captions(mutants))
    assert (right > wrong)[~same].mean() > 0.95


def test_images_of_another_size_are_resized(judge, scenes):
    _, images, texts = scenes
    doubled = images[:50].repeat(2, axis=2).repeat(2, axis=3)
    assert abs(mean_score(judge, doubled, texts[:50]) - mean_score(judge, images[:50], texts[:50])) < 10


def test_long_texts_and_broken_folders_are_named(judge, tmp_path):
    with pytest.raises(PromptError, match="the judge reads 20 tokens, this prompt has 42"):
        judge.score(np.zeros((1, 64), np.float32), [" ".join(["red"] * 40)])
    with pytest.raises(CheckpointError, match="no open_clip folder"):
        OpenClipJudge(tmp_path, CPU)
    broken = tmp_path / "judge"
    shutil.copytree(BUNDLED / "judge", broken)
    weights = broken / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="is damaged"):
        OpenClipJudge(broken, CPU)
    weights.unlink()
    with pytest.raises(CheckpointError, match="is not there"):
        OpenClipJudge(broken, CPU)


def test_images_of_another_shape_are_cropped_at_the_centre_or_squashed(judge, scenes):
    _, images, _ = scenes
    wide = np.pad(images[:20], ((0, 0), (0, 0), (0, 0), (20, 20)))
    assert np.array_equal(judge.embed_images(wide), judge.embed_images(images[:20]))
    squashing = OpenClipJudge(openclip.find(BUNDLED / "judge"), CPU)
    squashing._crops = False
    assert not np.allclose(squashing.embed_images(wide), judge.embed_images(images[:20]), atol=0.05)


@pytest.mark.parametrize("size", [(1024, 768), (768, 1024), (97, 131), (300, 40), (40, 40), (512, 512)])
def test_images_are_prepared_as_open_clip_does_it(judge, size):
    """The resized shape is torchvision's (298 rows for 1024 x 768 and a side of 224, where rounding gives 299)."""
    from torchvision.transforms.functional import _compute_resized_output_size

    assert _covering(size, (224, 224)) == tuple(_compute_resized_output_size(size, [224]))
    smooth = ndimage.gaussian_filter(np.random.default_rng(16).normal(0, 900, (3, *size)), (0, 2, 2)) + 128
    image = np.clip(smooth, 0, 255).astype(np.uint8)
    prepare = open_clip.image_transform(40, is_train=False, resize_mode="shortest", interpolation="bicubic")
    theirs = prepare(Image.fromarray(image.transpose(1, 2, 0)))
    ours = judge._fit(torch.from_numpy(image[None]).float().div(255))[0]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    assert float((ours - (theirs * std + mean)).abs().mean()) < 0.005  # open_clip rounds to bytes


def test_a_judge_that_is_not_square_covers_its_field_as_open_clip_does_it():
    from open_clip.transform import ResizeKeepRatio

    for source in ((1024, 768), (100, 333), (37, 91)):
        keep = ResizeKeepRatio((224, 160))
        assert list(_covering(source, (224, 160))) == keep.get_params(
            Image.new("RGB", source[::-1]), (224, 160), 0.0, 0.0
        )


def caption(text):
    """As a sentence: a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


@given(count=st.integers(3, 5), first=st.integers(0, 150))
@settings(max_examples=15, deadline=None)
def test_long_prompts_are_scored_by_sentence(judge, scenes, count, first):
    _, images, texts = scenes
    parts = [caption(text) for text in texts[first : first + count]]
    features = judge.embed_images(images[first : first + 1])
    each = np.concatenate([judge.score(features, [part]) for part in parts])
    long = [" ".join(parts)]
    assert judge.splits(long)
    assert judge.score(features, long) == pytest.approx(each.mean(), rel=1e-6)
    assert judge.least(features, long) == each.min()
    shuffled = [" ".join(parts[::-1])]
    assert judge.score(features, shuffled) == pytest.approx(judge.score(features, long), rel=1e-6)
    assert judge.least(features, shuffled) == judge.least(features, long)


def test_short_prompts_are_scored_bitwise_as_ever_also_beside_long_ones(judge, scenes):
    _, images, texts = scenes
    features = judge.embed_images(images[:50])
    assert not judge.splits(texts[:50])
    plain = 100.0 * (features * judge.embed_texts(texts[:50])).sum(axis=1)
    assert np.array_equal(judge.score(features, texts[:50]), plain)
    assert np.array_equal(judge.least(features, texts[:50]), plain)
    mixed = [*texts[:49], " ".join(caption(text) for text in texts[49:52])]
    assert np.array_equal(judge.score(features, mixed)[:49], plain[:49])


def test_a_sentence_that_is_too_long_is_named_with_its_length(judge):
    with pytest.raises(PromptError, match=r"the judge reads 20 tokens, this prompt has 42: 'red red .* write shorter"):
        judge.splits([" ".join(["red"] * 40)])
    with pytest.raises(PromptError, match=r"this prompt has 37, 33 of them in one sentence: 'Red red"):
        judge.splits(["A large red circle. Red " + "red " * 30])
