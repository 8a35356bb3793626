"""Published claims as tests: each is declared with its source, compares measured quantities, and gets a verdict.

``from harness import claim, findings``: the names below are what a claim of your own is written with
(docs/findings.md); each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.findings.blog import BLOG
    from harness.findings.claim import judge
    from harness.findings.harm_questions import (
        ablated,
        catastrophic,
        less_harm,
        looped,
        mild,
        not_catastrophic,
        recovers,
    )
    from harness.findings.healing import HEALING
    from harness.findings.intervals import drawn, exact, over_prompts, share, trend
    from harness.findings.pruning import PRUNING
    from harness.findings.questions import Direction, Question, any_of
    from harness.findings.sd35 import SD35

_HOMES = {
    "BLOG": "harness.findings.blog",
    "HEALING": "harness.findings.healing",
    "Direction": "harness.findings.questions",
    "Question": "harness.findings.questions",
    "PRUNING": "harness.findings.pruning",
    "SD35": "harness.findings.sd35",
    "ablated": "harness.findings.harm_questions",
    "any_of": "harness.findings.questions",
    "catastrophic": "harness.findings.harm_questions",
    "drawn": "harness.findings.intervals",
    "exact": "harness.findings.intervals",
    "judge": "harness.findings.claim",
    "less_harm": "harness.findings.harm_questions",
    "looped": "harness.findings.harm_questions",
    "mild": "harness.findings.harm_questions",
    "not_catastrophic": "harness.findings.harm_questions",
    "over_prompts": "harness.findings.intervals",
    "recovers": "harness.findings.harm_questions",
    "share": "harness.findings.intervals",
    "trend": "harness.findings.intervals",
}

__all__ = [
    "BLOG",
    "HEALING",
    "PRUNING",
    "SD35",
    "Direction",
    "Question",
    "ablated",
    "any_of",
    "catastrophic",
    "drawn",
    "exact",
    "judge",
    "less_harm",
    "looped",
    "mild",
    "not_catastrophic",
    "over_prompts",
    "recovers",
    "share",
    "trend",
]


if not TYPE_CHECKING:  # so that a type checker still reports a name that isn't there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
