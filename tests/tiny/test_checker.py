"""The checker reads back what was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from harness.models.checkpoints.resolve import resolve
from harness.tiny import checker, render, world
from harness.tiny.judge import mutate, same_scene


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


def test_prompts_of_another_size_of_image_have_no_layouts():
    """Nothing could read the images: neither the checker nor the noised renderings."""
    own = resolve("flux-tiny").settings
    captions = ["a large solid red circle on a grey background"]
    assert checker.layouts_of(own, captions) is not None
    assert checker.layouts_of(replace(own, width=24), captions) is None
    assert checker.layouts_of(replace(own, world=False), captions) is None
    assert checker.layouts_of(own, [*captions, "no caption"]) is None
