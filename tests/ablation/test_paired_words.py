"""Pairs of prompts that differ in one word."""

from __future__ import annotations

import pytest

from harness.ablation.paired_words import GROUPS, paired_prompts
from harness.errors import CaseError
from harness.tiny import world


def test_the_groups_are_those_of_the_bundled_world():
    assert GROUPS == (world.COLOURS, world.SHAPES, world.SIZES, world.TEXTURES, world.BACKGROUNDS)


def test_a_pair_differs_in_the_word_alone_and_the_others_take_turns():
    prompts = ["a red ball and a red car", "a blue ball", "red", "the bored hundred", "a red cross"]
    having, others = paired_prompts("red", prompts)
    assert having == ["a red ball and a red car", "red", "a red cross"]
    assert others == ["a green ball and a green car", "blue", "a yellow cross"]
    assert paired_prompts("small", ["small", "a small cat"])[1] == ["large", "a large cat"]


def test_wrong_input_is_named():
    with pytest.raises(CaseError, match="no other word is known for 'purple'; there are red, green"):
        paired_prompts("purple", ["purple"] * 3)
    with pytest.raises(CaseError, match="1 of 2 prompts have the word 'red'"):
        paired_prompts("red", ["red", "hundred"])
