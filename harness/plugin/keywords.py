"""Whether ``-k`` may select tests that were never made, because their checkpoint has none of what was asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# pytest has no public way to evaluate -k; its own deselection needs items, and these tests have none.
from _pytest.mark.expression import Expression


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
