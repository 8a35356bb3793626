"""Words that can stand for one another in a prompt, and pairs of prompts that differ in such a word alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.errors import CaseError

# The words of the bundled world, which are plain English: a photograph's prompt may have them, too.
GROUPS = (
    ("red", "green", "blue", "yellow", "magenta", "cyan"),
    ("circle", "square", "triangle", "cross"),
    ("small", "large"),
    ("solid", "striped"),
    ("black", "grey", "white"),
)
LEAST = 2  # pairs: fewer have no standard deviation


def paired_prompts(word: str, prompts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The prompts that have a word, and each of them with another word of its group in all the word's places.

    The others take turns, in the order of their group. Raises CaseError for a word of no group, and where fewer than
    two prompts have it.
    """
    group = next((group for group in GROUPS if word in group), None)
    if group is None:
        raise CaseError(f"no other word is known for {word!r}; there are {', '.join(w for g in GROUPS for w in g)}")
    others = [other for other in group if other != word]
    pattern = re.compile(rf"\b{word}\b")
    having = [prompt for prompt in prompts if pattern.search(prompt)]
    if len(having) < LEAST:
        raise CaseError(
            f"{len(having)} of {len(prompts)} prompts have the word {word!r}, and neurons are chosen from {LEAST} "
            "pairs or more; add prompts with it"
        )
    return having, [pattern.sub(others[i % len(others)], prompt) for i, prompt in enumerate(having)]
