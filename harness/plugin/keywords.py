"""``-k``: whether it may select tests that were never made, and which of its words are in no test's name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

# pytest has no public way to evaluate -k; its own deselection needs items, and these tests have none.
from _pytest.mark.expression import Expression

from harness.spelling import did_you_mean

_OPERATORS = ("and", "or", "not", "True", "False", "None")


def may_select(keyword: str, own: Collection[str], others: Iterable[str]) -> bool:
    """Whether an expression of ``-k`` may select a test with ``own`` names, of which not all are known.

    A word that is part of an own name is true of it, one that is part of ``others`` (names of other checkpoints and
    families) is not. Every further word may be part of an id that was never made (``plan``, ``skip``), so the answer
    is yes where the expression holds with all such words true, or with all of them false.
    """
    if not keyword.strip():
        return True
    mine, foreign = [name.lower() for name in own], [name.lower() for name in others]

    def holds(unknown: bool) -> bool:
        def matches(word: str, /, **_: object) -> bool:
            part = word.lower()
            if any(part in name for name in mine):
                return True
            return unknown and not any(part in name for name in foreign)

        return Expression.compile(keyword.strip()).evaluate(matches)

    try:
        return holds(unknown=True) or holds(unknown=False)
    except SyntaxError:  # pytest says so itself
        return True


def unmatched(keyword: str, names: Collection[str]) -> list[str]:
    """``'doubel' (did you mean 'double'?)`` for each word of an expression of ``-k`` that is part of none of the names.

    ``names`` are those of all collected tests, and the further words that they answer to.
    """
    lower = [name.lower() for name in names]
    words = dict.fromkeys(word for word in re.findall(r"[^\s()]+", keyword) if word not in _OPERATORS)
    # A word is mostly a part of an id (double-L01-03-skip), and sometimes the whole of it.
    known = dict.fromkeys([*names, *(part for name in names for part in re.split(r"[-_\[\]]", name) if len(part) > 2)])
    missing = [word for word in words if not any(word.lower() in name for name in lower)]
    return [f"{word!r}{did_you_mean(word, known)}" for word in missing]
