"""The nearest right word for a mistake: every message that guesses what was meant takes the guess from here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ALIKE = 0.6  # difflib's ratio, from which a word is near another: 'skp' and 'skip' have 0.86
_LONGEST = 200  # characters of a word that are compared


def nearest(word: str, known: Iterable[str], most: int = 1, alike: float = _ALIKE) -> list[str]:
    """At most so many of the known words, the most similar first; empty where none is near enough.

    Upper and lower case, and ``_`` or a space for ``-``, make no difference to what was meant. What is known is never
    near itself.
    """
    written = {_plain(name): str(name) for name in known if name != word}
    return [written[near] for near in difflib.get_close_matches(_plain(word[:_LONGEST]), written, n=most, cutoff=alike)]


def did_you_mean(word: str, known: Iterable[str], most: int = 1, alike: float = _ALIKE) -> str:
    """`` (did you mean 'skip'?)``, to follow the word in a message; empty where no known word is near enough."""
    near = nearest(word, known, most, alike)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def _plain(word: str) -> str:
    return word.strip().lower().replace("_", "-").replace(" ", "-")
