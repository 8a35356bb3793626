"""What the judge is trained against: layouts that differ in one attribute, and whether two say the same scene."""

from __future__ import annotations

import numpy as np

from harness.tiny import world
from harness.tiny.judge import mutate, same_scene


def test_mutants_differ_in_one_attribute_and_say_another_scene():
    layouts = world.sample(200, np.random.default_rng(0))
    mutants = mutate(layouts, np.random.default_rng(1))
    texts, others = world.captions(layouts), world.captions(mutants)
    differ = np.array([a != b for a, b in zip(texts, others, strict=True)])
    assert differ.mean() > 0.95  # two equal objects may have been exchanged
    same = np.diag(same_scene(world.concatenate([layouts, mutants]))[:200, 200:])
    assert not same[differ].any() or (same[differ].mean() < 0.1)
    assert same[~differ].all()


def test_a_scene_is_the_same_in_either_phrasing_and_at_any_place():
    layouts = world.sample(50, np.random.default_rng(2))
    moved = world.rejitter(layouts, np.random.default_rng(3))
    table = same_scene(world.concatenate([layouts, moved]))
    assert np.array_equal(table, table.T)
    assert np.diag(table[:50, 50:]).all()
    assert np.array_equal(table[:50, :50], table[50:, 50:])
