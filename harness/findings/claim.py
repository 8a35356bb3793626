"""A published claim as a declaration, and the finding: the verdict that one model's measurements give on it."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.findings.definitions import LEVEL
from harness.findings.questions import (
    Answer,
    Condition,
    Direction,
    Either,
    Question,
    answered,
    decisive,
    every,
    settled,
)

if TYPE_CHECKING:
    from harness.analysis.study import Study

Questions = Sequence[Question | Either[Question]]
Measure = Callable[["Study"], Questions]
WhyNot = Callable[["Study"], str]


class ClaimError(HarnessError, ValueError):
    """A claim whose declaration is incomplete, or a name that no claim has."""


class ClaimVerdict(enum.StrEnum):
    """The verdict of one model's measurements on a claim."""

    SUPPORTED = "supported"  # every comparison holds surely
    CONTRADICTED = "contradicted"  # one fails surely
    UNDECIDED = "undecided"
    NOT_APPLICABLE = "not applicable"  # it is about another model


_VERDICTS = {
    Answer.HOLDS: ClaimVerdict.SUPPORTED,
    Answer.FAILS: ClaimVerdict.CONTRADICTED,
    Answer.OPEN: ClaimVerdict.UNDECIDED,
}


def _applies(_study: Study) -> str:
    """The claim can be asked of any model of its families."""
    return ""


@dataclass(frozen=True)
class Claim:
    """A statement, where it comes from, and the comparisons that test it.

    ``comparison`` says in words what is compared, ``measure`` does it; ``families`` are those of the models that it is
    about (empty: all), ``why_not`` gives the reason where it has no counterpart in a certain model, else "".
    Declare one with :func:`claim`. Raises ClaimError.
    """

    id: str
    statement: str
    source: str
    comparison: str
    families: tuple[str, ...]
    measure: Measure
    why_not: WhyNot = _applies

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", self.id):
            raise ClaimError(
                f"claim id {self.id!r}: letters, digits, dots and dashes, as it becomes part of a test's id"
            )
        for name in ("statement", "source", "comparison"):
            if not getattr(self, name).strip():
                raise ClaimError(
                    f"claim {self.id} has no {name}; a verdict needs to say what was claimed, where, and how"
                )


def claim(
    id: str,  # noqa: A002 - it reads best at the call
    statement: str,
    *,
    source: str,
    families: Sequence[str] = (),
    why_not: WhyNot = _applies,
) -> Callable[[Measure], Claim]:
    """Declare a claim by the function that measures it; the function's docstring says what is compared.

    ::

        @claim("X1", "the last single block can go", source="our notes", families=("flux",))
        def last_single(study):
            \"\"\"Skipping it is mild.\"\"\"
            return [mild(study, ablated(study, "single", "11", "skip"))]

    Raises ClaimError.
    """

    def declare(measure: Measure) -> Claim:
        words = " ".join((inspect.getdoc(measure) or "").split())
        return Claim(id, statement, source, words, tuple(families), measure, why_not)

    return declare


@dataclass(frozen=True)
class Finding:
    """The verdict of ``checkpoint`` on a claim. ``measured`` are the circumstances, as in a baseline's facts."""

    claim: str
    statement: str
    source: str
    checkpoint: str
    verdict: ClaimVerdict
    conditions: tuple[Condition | Either[Condition], ...] = ()
    reason: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def id(self) -> str:
        """``flux-tiny-B2``."""
        return f"{self.checkpoint}-{self.claim}"

    @property
    def decisive(self) -> Condition | None:
        """The comparison on which the verdict turns; None where nothing was measured."""
        return decisive(self.conditions)

    @property
    def because(self) -> str:
        """The decisive comparison with its interval, or the reason why nothing was measured."""
        return self.reason or str(self.decisive)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts, strings and numbers; what is not finite becomes "nan", "inf" or "-inf"."""
        return {
            "claim": self.claim,
            "statement": self.statement,
            "source": self.source,
            "checkpoint": self.checkpoint,
            "verdict": self.verdict.value,
            "conditions": [_condition_json(c) for c in self.conditions],
            "reason": self.reason,
            "measured": dict(self.measured),
        }


def judge(subject: Claim, study: Study) -> Finding:
    """Measure what a claim needs, and give the verdict on it of the study's model.

    Raises ClaimError for a claim that compares nothing, and what the lab raises.
    """
    reason = _other_family(subject, study) or subject.why_not(study)
    about = (subject.id, subject.statement, subject.source, study.name)
    if reason:
        return Finding(*about, ClaimVerdict.NOT_APPLICABLE, reason=reason)
    questions = tuple(subject.measure(study))
    if not questions or any(isinstance(q, Either) and not all(q.alternatives) for q in questions):
        raise ClaimError(
            f"claim {subject.id} compares nothing on {study.name}; give why_not= the reason why it can't be"
        )
    conditions = settled(questions, LEVEL)
    return Finding(*about, _VERDICTS[every(map(answered, conditions))], conditions, measured=study.facts)


def _other_family(subject: Claim, study: Study) -> str:
    if not subject.families or study.family in subject.families:
        return ""
    return f"about {' and '.join(subject.families)}; {study.name} is {study.family}"


def _condition_json(condition: Condition | Either[Condition]) -> dict[str, Any]:
    if isinstance(condition, Either):
        return {"any_of": [[_condition_json(c) for c in alternative] for alternative in condition.alternatives]}
    value = condition.value
    return {
        "what": condition.what,
        "value": [_number(x) for x in (value.value, value.low, value.high)],
        "direction": condition.direction.value,
        "threshold": condition.threshold,
        "unit": condition.unit,
        "answer": condition.answer.value,
    }


def _number(value: float) -> float | str:
    return value if abs(value) < float("inf") else str(value)


def from_json(data: Mapping[str, Any]) -> Finding:
    """Read what :meth:`Finding.to_json` wrote. Raises ValueError naming what is wrong."""
    try:
        return Finding(
            claim=str(data["claim"]),
            statement=str(data["statement"]),
            source=str(data["source"]),
            checkpoint=str(data["checkpoint"]),
            verdict=ClaimVerdict(data["verdict"]),
            conditions=tuple(_condition(c) for c in data["conditions"]),
            reason=str(data["reason"]),
            measured=dict(data["measured"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no finding: {error!r}") from None


def _condition(data: Mapping[str, Any]) -> Condition | Either[Condition]:
    if "any_of" in data:
        return Either(tuple(tuple(_comparison(c) for c in alternative) for alternative in data["any_of"]))
    return _comparison(data)


def _comparison(data: Mapping[str, Any]) -> Condition:
    from harness.results.statistics import Interval

    value = Interval(*(float(x) for x in data["value"]))
    return Condition(
        str(data["what"]), value, Direction(data["direction"]), float(data["threshold"]), str(data["unit"])
    )


BLOG_SOURCE = 'the blog "Extending Transformer layers as Painters to DiT\'s"'
SD35_SOURCE = "the SD3.5-Large layer-wise analysis"
