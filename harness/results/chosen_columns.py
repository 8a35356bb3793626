"""Which columns the terminal's table has: those that matter, and what an option (:data:`HELP`) asks for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from harness.errors import OptionError
from harness.results import columns
from harness.results.columns import extra as extra_figure
from harness.results.figure import Column, RankedBy
from harness.spelling import did_you_mean

ALL = "all"
# What both options say of themselves.
HELP = (
    "more columns of the ranked table on the terminal: all, or lost-percent, checker, fid-ratio, lpips.drift ... "
    "(repeat, or separate by commas); ranking.md has all"
)
_TIER = "tier"


def read_columns(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of the columns that some texts ask for: ``all``, ``checker,lost-percent``, ``lpips.drift`` ...

    A text is a word, or several with commas between them; a word is the name of a figure in files, or what heads its
    column. Raises OptionError naming what there is.
    """
    names: dict[str, None] = {}
    named, headed = _declared()
    known = {**headed, **named, ALL: ALL}
    for word in (part.strip() for text in texts for part in text.split(",")):
        plain = _plain(word)
        if "." in word.strip(".") and extra_figure(word) is not None:
            names[word] = None  # of an extra metric, which is known when it was measured
        elif plain in known:
            names[known[plain]] = None
        else:
            guess = did_you_mean(plain, known)
            raise OptionError(f"there is no column {word!r}{guess}; there are {', '.join((ALL, *named))}")
    return tuple(names)


def _declared() -> tuple[dict[str, str], dict[str, str]]:
    """The names of the declared columns by themselves with hyphens, and by what heads them (``fid-null``)."""
    declared = columns.table(RankedBy.HARM)
    headed: dict[str, str] = {}
    for column in declared:
        headed.setdefault(_plain(column.label), column.name)  # the first of two: "checker" and "checker #"
    headed.pop("", None)
    return {_plain(column.name): column.name for column in declared}, headed


def is_chosen(column: Column, asked: Collection[str]) -> bool:
    """Whether a column was asked for by its name, or by that of its metric."""
    return column.name in asked or ("." in column.name and column.name.rpartition(".")[0] in asked)


def shown(every: Sequence[Column], asked: Collection[str], *, always: Collection[str] = ()) -> tuple[Column, ...]:
    """Those of a ranking's columns that the terminal shows: what matters, what was ``asked`` for, and ``always``.

    All of them where ``all`` was asked for.
    """
    if ALL in asked:
        return tuple(every)
    chosen = (*columns.headline(), *(column for column in every if column.name in (_TIER, *always)))
    return tuple(column for column in every if column in chosen or is_chosen(column, asked))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
