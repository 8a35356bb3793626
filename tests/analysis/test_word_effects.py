"""What a word's neurons carry, on flux-tiny and eight of its prompts."""

from __future__ import annotations

import re

import pytest

from harness.ablation.ranges import Span
from harness.analysis.word_effects import word_effects
from harness.errors import CaseError
from harness.tiny.checker import ATTRIBUTES


def counted(lab, word):
    return sum(bool(re.search(rf"\b{word}\b", prompt)) for prompt in lab.prompts)


def test_each_group_of_prompts_is_measured_as_the_lab_measures_it(lab):
    word = next(w for w in ("red", "blue", "green", "circle", "square") if 2 <= counted(lab, w) < len(lab.prompts))
    effects = word_effects(lab, word, "single", Span(2, 3), neurons=4)
    assert effects.modifier == f"single-L02-03-clamp-neurons.{word}.n4"
    assert effects.having.prompts == counted(lab, word)
    assert effects.having.prompts + effects.others.prompts == len(lab.prompts)
    assert set(effects.having.lost) == set(ATTRIBUTES)
    whole = lab.run(modifiers=effects.modifier).measurement
    groups = (effects.having, effects.others)
    mean = sum(group.harm * group.prompts for group in groups) / len(lab.prompts)
    assert mean == pytest.approx(-whole.summary["clip_delta"], abs=2e-3)


def test_wrong_input_is_named(lab):
    with pytest.raises(CaseError, match="0 of 8 prompts have the word 'purple'"):
        word_effects(lab, "purple", "single", Span(2, 3))
