"""Three-valued comparisons of a measured interval with a threshold: it holds surely, fails surely, or stays open."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from harness.results.statistics import Interval


class Answer(enum.StrEnum):
    """What an interval says of a comparison (Kleene's three values)."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "open"


class Direction(enum.StrEnum):
    """On which side of the threshold a claim says that a value lies."""

    LESS = "less than"
    AT_MOST = "at most"
    MORE = "more than"
    AT_LEAST = "at least"

    @property
    def opposite(self) -> Direction:
        """What is true where this isn't."""
        return {
            Direction.LESS: Direction.AT_LEAST,
            Direction.AT_LEAST: Direction.LESS,
            Direction.MORE: Direction.AT_MOST,
            Direction.AT_MOST: Direction.MORE,
        }[self]


def every(answers: Iterable[Answer]) -> Answer:
    """Whether all hold: fails where one fails, open where none fails and one is open."""
    distinct = set(answers)
    return next((a for a in (Answer.FAILS, Answer.OPEN) if a in distinct), Answer.HOLDS)


def some(answers: Iterable[Answer]) -> Answer:
    """Whether one holds: open where none holds and one is open, fails where all fail."""
    distinct = set(answers)
    return next((a for a in (Answer.HOLDS, Answer.OPEN) if a in distinct), Answer.FAILS)


@dataclass(frozen=True)
class Condition:
    """One comparison of a claim: that ``what``, measured as ``value`` in ``unit``, is ``direction`` ``threshold``."""

    what: str
    value: Interval
    direction: Direction
    threshold: float
    unit: str

    @property
    def answer(self) -> Answer:
        """Holds (fails) where the whole interval does; a value that is no number leaves it open."""
        if _inside(self.value, self.direction, self.threshold):
            return Answer.HOLDS
        return Answer.FAILS if _inside(self.value, self.direction.opposite, self.threshold) else Answer.OPEN

    @property
    def margin(self) -> float:
        """How far the nearer end of the interval is from the threshold, in half-widths; negative where that is inside.

        It says which of several comparisons is the closest call.
        """
        low, high = self.value.low - self.threshold, self.value.high - self.threshold
        nearest = max(low, -high)
        half = (self.value.high - self.value.low) / 2
        if math.isnan(nearest) or math.isinf(half):
            return -math.inf
        return nearest / half if half > 0 else math.copysign(math.inf, nearest)

    def __str__(self) -> str:
        value = self.value
        figures = f"{value.value:.3g}"
        if not value.low == value.high == value.value:
            digits = _digits((value.high - value.low) / 2)
            # Adding 0 turns -0 into 0.
            middle, low, high = (f"{round(v, digits) + 0.0:.{digits}f}" for v in (value.value, value.low, value.high))
            figures = f"{middle} [{low}, {high}]"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.what}: {figures}{unit}, claimed {self.direction.value} {self.threshold:g}"


def _digits(half: float) -> int:
    """Decimals that show an interval's half-width with two figures, at least two and at most six of them."""
    return min(6, max(2, 1 - math.floor(math.log10(half)))) if 0 < half < math.inf else 2


def _inside(value: Interval, direction: Direction, threshold: float) -> bool:
    # Comparisons with NaN are false, so that it is inside nothing.
    inside = {
        Direction.LESS: value.high < threshold,
        Direction.AT_MOST: value.high <= threshold,
        Direction.MORE: value.low > threshold,
        Direction.AT_LEAST: value.low >= threshold,
    }
    return inside[direction] and not math.isnan(value.low + value.high)


@dataclass(frozen=True)
class Question:
    """A comparison without its interval yet: ``evidence`` gives that at a level such as 0.95."""

    what: str
    evidence: Callable[[float], Interval]
    direction: Direction
    threshold: float
    unit: str

    def at(self, level: float) -> Condition:
        """The comparison with the interval of that level."""
        return Condition(self.what, self.evidence(level), self.direction, self.threshold, self.unit)


_T = TypeVar("_T", Question, Condition)


@dataclass(frozen=True)
class Either(Generic[_T]):
    """Alternatives: holds where everything in one of them does."""

    alternatives: tuple[tuple[_T, ...], ...]


def any_of(*alternatives: Question | Sequence[Question]) -> Either[Question]:
    """A condition that holds where one of the alternatives does; each is a question, or several that all must hold."""
    return Either(tuple((a,) if isinstance(a, Question) else tuple(a) for a in alternatives))


def members(conditions: Iterable[_T | Either[_T]]) -> Iterator[_T]:
    """All questions or comparisons, those of alternatives among them."""
    for condition in conditions:
        if isinstance(condition, Either):
            for alternative in condition.alternatives:
                yield from alternative
        else:
            yield condition


def answered(condition: Condition | Either[Condition]) -> Answer:
    """The answer of one condition."""
    if isinstance(condition, Either):
        return some(every(c.answer for c in alternative) for alternative in condition.alternatives)
    return condition.answer


def settled(
    conditions: Sequence[Question | Either[Question]], level: float
) -> tuple[Condition | Either[Condition], ...]:
    """The conditions with intervals that hold together at ``level``: each of k at 1 - (1 - level) / k (Bonferroni)."""
    count = sum(1 for _ in members(conditions))
    each = 1.0 - (1.0 - level) / max(1, count)
    out: list[Condition | Either[Condition]] = []
    for condition in conditions:
        if isinstance(condition, Either):
            out.append(Either(tuple(tuple(q.at(each) for q in some_) for some_ in condition.alternatives)))
        else:
            out.append(condition.at(each))
    return tuple(out)


def decisive(conditions: Sequence[Condition | Either[Condition]]) -> Condition | None:
    """The comparison on which the whole turns.

    Where all hold, the closest call of them; where one fails surely, the clearest failure; else the one that is the
    farthest from being decided. Of alternatives, it is that of the one that came the furthest.
    """
    comparisons = [_decisive_of(c) if isinstance(c, Either) else c for c in conditions]
    if not comparisons:
        return None
    answer = every(map(answered, conditions))
    fitting = [c for c, condition in zip(comparisons, conditions, strict=True) if answered(condition) is answer]
    return max(fitting, key=lambda c: c.margin) if answer is Answer.FAILS else min(fitting, key=lambda c: c.margin)


def _decisive_of(condition: Either[Condition]) -> Condition:
    answer = answered(condition)
    of_each = [decisive(alternative) for alternative in condition.alternatives]
    fitting = [
        c
        for c, alternative in zip(of_each, condition.alternatives, strict=True)
        if c is not None and every(m.answer for m in alternative) is answer
    ]
    return min(fitting, key=lambda c: c.margin) if answer is Answer.FAILS else max(fitting, key=lambda c: c.margin)
