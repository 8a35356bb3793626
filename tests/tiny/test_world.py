"""The bundled world: what is drawn is what is said, and the checker reads it back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models.checkpoints.resolve import resolve
from harness.tiny import world

seeds = st.integers(0, 2**31)
# words of "a large striped red circle left of a small solid blue cross on a grey background"
LONGEST = 16


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


def test_prompts_of_another_size_of_image_have_no_layouts():
    """Nothing could read the images: neither the checker nor the noised renderings."""
    own = resolve("flux-tiny").settings
    captions = ["a large solid red circle on a grey background"]
    assert world.layouts_of(own, captions) is not None
    assert world.layouts_of(replace(own, width=24), captions) is None
    assert world.layouts_of(replace(own, world=False), captions) is None
    assert world.layouts_of(own, [*captions, "no caption"]) is None
