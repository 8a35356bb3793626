"""A published claim as a declaration, and the finding: the verdict that one model's measurements give on it."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from harness.results.fingerprint import BaselineFacts
from harness.results.serialise import empty_as_none, from_plain, to_plain

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
    """The verdict of ``checkpoint`` on a claim.

    ``measured`` are the circumstances, as in a baseline's facts; None where nothing was measured. ``nodeid`` is that
    of the test which asked; empty where none did.
    """

    claim: str
    statement: str
    source: str
    checkpoint: str
    verdict: ClaimVerdict
    conditions: tuple[Condition | Either[Condition], ...] = ()
    reason: str = ""
    measured: BaselineFacts | None = None
    nodeid: str = ""

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
            "conditions": [to_plain(_stored(c)) for c in self.conditions],
            "reason": self.reason,
            "measured": {} if self.measured is None else to_plain(self.measured, sparse=True),
            "nodeid": self.nodeid,
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


@dataclass(frozen=True)
class _StoredCondition:
    """A comparison as it is written; ``value`` is (estimate, low, high), ``answer`` follows from the rest."""

    what: str
    value: tuple[float, float, float]
    direction: Direction
    threshold: float
    unit: str
    answer: Answer


@dataclass(frozen=True)
class _StoredEither:
    """Alternatives, each of them comparisons that must all hold."""

    any_of: tuple[tuple[_StoredCondition, ...], ...]


@dataclass(frozen=True)
class StoredFinding:
    """A finding as it is written, one line of a run's ``findings.jsonl``."""

    claim: str
    statement: str
    source: str
    checkpoint: str
    verdict: ClaimVerdict
    conditions: tuple[_StoredCondition | _StoredEither, ...]
    reason: str
    measured: BaselineFacts | None
    nodeid: str = ""


def _stored(condition: Condition | Either[Condition]) -> _StoredCondition | _StoredEither:
    if isinstance(condition, Either):
        return _StoredEither(tuple(tuple(map(_stored_one, alternative)) for alternative in condition.alternatives))
    return _stored_one(condition)


def _stored_one(condition: Condition) -> _StoredCondition:
    value = condition.value
    return _StoredCondition(
        what=condition.what,
        value=(value.value, value.low, value.high),
        direction=condition.direction,
        threshold=condition.threshold,
        unit=condition.unit,
        answer=condition.answer,
    )


def from_json(data: Any) -> Finding:
    """Read what :meth:`Finding.to_json` wrote. Raises DataError naming the field that is wrong."""
    stored = from_plain(StoredFinding, empty_as_none(data, "measured"), "finding")
    return Finding(
        claim=stored.claim,
        statement=stored.statement,
        source=stored.source,
        checkpoint=stored.checkpoint,
        verdict=stored.verdict,
        conditions=tuple(map(_condition, stored.conditions)),
        reason=stored.reason,
        measured=stored.measured,
        nodeid=stored.nodeid,
    )


def _condition(stored: _StoredCondition | _StoredEither) -> Condition | Either[Condition]:
    if isinstance(stored, _StoredEither):
        return Either(tuple(tuple(map(_comparison, alternative)) for alternative in stored.any_of))
    return _comparison(stored)


def _comparison(stored: _StoredCondition) -> Condition:
    # Case files import claims when they are collected, and statistics loads scipy.
    from harness.results.statistics import Interval

    return Condition(stored.what, Interval(*stored.value), stored.direction, stored.threshold, stored.unit)


BLOG_SOURCE = 'the blog "Extending Transformer layers as Painters to DiT\'s"'
SD35_SOURCE = "the SD3.5-Large layer-wise analysis"
