"""The bundled world: what is drawn is what is said, and the checker reads it back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from harness.tiny import checker, render, world
from harness.tiny.judge import mutate, same_scene

seeds = st.integers(0, 2**31)
# words of "a large striped red circle left of a small solid blue cross on a grey background"
LONGEST = 16


@pytest.fixture(scope="module")
def scenes():
    layouts = world.sample(1000, np.random.default_rng(0))
    return layouts, render.render(layouts)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_captions_say_the_layout_in_both_phrasings(seed):
    rng = np.random.default_rng(seed)
    layouts = world.sample(20, rng)
    for reverse in (None, np.ones(20, dtype=bool), rng.random(20) < 0.5):
        texts = world.captions(layouts, reverse)
        assert world.keys(world.parse_all(texts)) == world.keys(layouts)
        assert max(len(t.split()) for t in texts) <= LONGEST
        assert {word for t in texts for word in t.split()} <= set(" ".join(world.WORDS).split())


def test_other_sentences_are_refused():
    for text in ("", "a cat", "a large solid red circle", "a large solid red circle near a small solid red cross"):
        with pytest.raises(ValueError, match="not a caption"):
            world.parse(text)


def test_the_split_is_by_scene_and_not_by_phrasing_or_place():
    rng = np.random.default_rng(1)
    layouts = world.sample(4000, rng)
    apart = world.held_out(layouts)
    assert 0.10 < apart.mean() < 0.15
    assert (world.held_out(world.rejitter(layouts, rng)) == apart).all()
    assert world.held_out(world.sample_split(50, rng, unseen=True)).all()
    assert not world.held_out(world.sample_split(50, rng, unseen=False)).any()


def test_the_checker_reads_true_renders(scenes):
    layouts, images = scenes
    score = checker.score(images, layouts)
    for name, right in score.attributes.items():
        assert right.mean() >= 0.99, name
    assert score.all_right.mean() >= 0.99


@pytest.mark.parametrize("sigma", [0.02, 0.05])
def test_the_checker_reads_through_noise(scenes, sigma):
    layouts, images = scenes
    noise = np.random.default_rng(2).normal(0, 255 * sigma, images.shape)
    noisy = np.clip(images + noise, 0, 255).astype(np.uint8)
    assert checker.score(noisy, layouts).all_right.mean() >= 0.99


def test_the_checker_reads_through_slight_blur(scenes):
    layouts, images = scenes
    blurred = ndimage.gaussian_filter(images.astype(float), (0, 0, 0.5, 0.5)).astype(np.uint8)
    assert checker.score(blurred, layouts).all_right.mean() >= 0.99


def test_every_attribute_is_told_apart(scenes):
    """Images of one-attribute mutants score worse on that attribute, and only images of another scene do."""
    layouts, _ = scenes
    rng = np.random.default_rng(3)
    mutants = mutate(layouts, rng)
    score = checker.score(render.render(mutants), layouts)
    same = np.diag(same_scene(world.concatenate([layouts, mutants]))[: len(layouts), len(layouts) :])
    # The only mutants that are no other scene exchange two equal objects.
    assert (score.all_right == same).mean() >= 0.995
    assert (score.grade[~same] < 1).mean() >= 0.995


@pytest.mark.parametrize("image", ["black", "grey", "white", "noise"])
def test_nothing_is_read_from_nothing(image):
    rng = np.random.default_rng(4)
    layouts = world.sample(32, rng)
    shape = (32, 3, render.SIDE, render.SIDE)
    filled = {"black": 0, "grey": 128, "white": 255}
    images = (
        rng.integers(0, 256, shape, dtype=np.uint8)
        if image == "noise"
        else np.full(shape, filled[image], dtype=np.uint8)
    )
    score = checker.score(images, layouts)
    assert not score.all_right.any()
    assert score.attributes["relation"].mean() <= 0.5
    assert score.grade.mean() < 0.5


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"uint8 images of shape \(N, 3, 40, 40\), got float64"):
        checker.read(np.zeros((1, 3, 40, 40)))


def test_rendering_is_antialiased(scenes):
    _, images = scenes
    assert len(np.unique(images)) > 100
