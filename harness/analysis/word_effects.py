"""What the neurons that a word switches on carry: which attributes of the bundled world's images change without them.

The exact checker of the bundled world says which attributes of its caption an image gets right, so that the question
has an answer: do clamped "red" neurons change colours and nothing else, and only where the prompt says red?
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.ablation.modifiers import read_modifiers
from harness.ablation.ranges import Span
from harness.errors import CaseError
from harness.lab.lab import Lab
from harness.tiny.checker import ATTRIBUTES


@dataclass(frozen=True)
class GroupEffect:
    """The effect on some prompts: ``harm`` in points of the score, and by attribute the share of right ones lost."""

    prompts: int
    harm: float
    lost: Mapping[str, float]


@dataclass(frozen=True)
class WordEffects:
    """The effect of clamping a word's neurons on the prompts that have the word, and on the others."""

    modifier: str
    having: GroupEffect
    others: GroupEffect


def word_effects(lab: Lab, word: str, stack: str, span: Span, neurons: int = 32) -> WordEffects:
    """Clamp the neurons of a range that a word switches on, at their mean without it, and see what changes.

    The prompts and images are the lab's own; the neurons are chosen on the same prompts with another seed. Raises
    CaseError where no checker reads the images, and where all prompts have the word or fewer than two do.
    """
    text = f"{stack}-{span.place}-clamp-neurons.{word}.n{neurons}"
    pattern = re.compile(rf"\b{word}\b")
    having = [i for i, prompt in enumerate(lab.prompts) if pattern.search(prompt)]
    others = [i for i in range(len(lab.prompts)) if i not in set(having)]
    if not others or not having:
        raise CaseError(
            f"{len(having)} of {len(lab.prompts)} prompts have the word {word!r}; some should, and some not"
        )
    return WordEffects(str(read_modifiers(text)[0]), *(_effect(lab, text, group) for group in (having, others)))


def _effect(lab: Lab, text: str, indices: list[int]) -> GroupEffect:
    summary = lab.run(modifiers=text, indices=indices).measurement.summary
    names = {attribute: f"{attribute}_loss" for attribute in ATTRIBUTES}
    if not all(name in summary for name in names.values()):
        raise CaseError(
            f"checkpoint {lab.checkpoint.name!r}: attributes are read by the checker of the bundled world, and these "
            "prompts and images aren't of it"
        )
    return GroupEffect(len(indices), -summary["clip_delta"], {a: summary[name] for a, name in names.items()})
