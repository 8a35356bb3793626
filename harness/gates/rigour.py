"""What a run does with cases that it can't compare with stored values."""

from __future__ import annotations

import enum

EXPLORE = "to explore: --dit-unjudged=ok"  # ends what is said of values that can't be compared


class Rigour(enum.StrEnum):
    """Which cases without a stored value to compare with are red."""

    LENIENT = "lenient"  # none: for exploring (--dit-unjudged=ok)
    USUAL = "usual"  # those of a checkpoint whose file exists and doesn't apply, as it was measured otherwise
    STRICT = "strict"  # those without a file or an entry, too (--dit-strict)
