"""Questions about harm in the claims' own words: catastrophic, mild, recovers, less harm than."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.ablation.plan import Plan
from harness.ablation.ranges import Span, spans
from harness.ablation.strategies import ALL_STRATEGIES
from harness.errors import CaseError
from harness.findings.definitions import CATASTROPHIC, MILD, RECOVERS
from harness.findings.intervals import over_prompts, share
from harness.findings.questions import Direction, Question

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.results.arrays import Array

# What the blog tried, looped parallel with the usual three loops.
BLOG_STRATEGIES = ("skip", "repeat", "reverse", "parallel", "parallel.t3")

_OF_SCALE = "of what there is to lose"  # of the harm of images that ignore their prompts; see definitions


@dataclass(frozen=True)
class Variant:
    """One ablation of the model under study."""

    stack: str
    span: Span
    strategy: str

    def __str__(self) -> str:
        return f"{self.strategy} {self.stack} {self.span}"

    def plan(self, study: Study) -> Plan:
        """The plan that runs."""
        return study.plan(self.stack, self.span.first, self.span.last, self.strategy)

    def harm(self, study: Study) -> Array:
        """(P,) harm in seed-to-seed sds."""
        return study.harm(study.ablate(self.stack, self.span.first, self.span.last, self.strategy))


@dataclass(frozen=True)
class SkippedSet:
    """Some blocks of a stack, in a row or not, skipped together."""

    stack: str
    blocks: tuple[int, ...]

    def __str__(self) -> str:
        return f"skip {self.stack} {' '.join(map(str, self.blocks))}"

    def harm(self, study: Study) -> Array:
        """(P,) harm in seed-to-seed sds."""
        kept = tuple(block for block in range(study.stacks[self.stack]) if block not in self.blocks)
        return study.harm(study.run(Plan(kept), self.stack))


@dataclass(frozen=True)
class MeanOf:
    """Several variants, whose harms are averaged; ``what`` names them all."""

    what: str
    variants: tuple[Variant | SkippedSet, ...]

    def __str__(self) -> str:
        return self.what

    def harm(self, study: Study) -> Array:
        """(P,) mean harm in seed-to-seed sds."""
        return np.asarray(np.mean([variant.harm(study) for variant in self.variants], axis=0), dtype=np.float64)


def each_block(stack: str, span: Span) -> MeanOf:
    """Skipping one block of a range, the mean over its blocks."""
    singles = tuple(Variant(stack, Span(block, block), "skip") for block in span.blocks)
    return MeanOf(f"skip one of {stack} {span}", singles)


def each_half(stack: str, span: Span) -> MeanOf:
    """Skipping half of a range of two blocks or more, the mean over its halves; of an odd one the lower is larger."""
    lower, upper = Span(span.first, span.centre), Span(span.centre + 1, span.last)
    return MeanOf(f"skip half of {stack} {span}", tuple(Variant(stack, half, "skip") for half in (lower, upper)))


def ablated(study: Study, stack: str, where: str, strategy: str) -> Variant:
    """A variant by ``where``: ``middle``, ``first``, ``last``, half of the middle, a block or range (``3-8``).

    Raises CaseError where that isn't one range of the stack.
    """
    stack = study.stack_name(stack)
    if stack not in study.stacks:
        raise CaseError(f"{study.name} has no stack {stack!r}; it has {', '.join(study.stacks)}")
    ranges = spans(where, study.stacks[stack], stack)
    if len(ranges) != 1:
        raise CaseError(f"{where!r} is {len(ranges)} ranges of stack {stack!r}, where a claim compares one")
    return Variant(stack, ranges[0][0], strategy)


def looped(study: Study, stack: str, where: str) -> tuple[Variant, ...]:
    """Looped parallel with the usual three loops, and with as many as the range has blocks, as the paper ties them."""
    span = ablated(study, stack, where, "parallel").span
    return tuple(Variant(stack, span, f"parallel.t{loops}") for loops in dict.fromkeys((3, len(span))))


HasHarm = Variant | SkippedSet | MeanOf


def catastrophic(study: Study, variant: HasHarm) -> Question:
    """Its harm is at least CATASTROPHIC of the prompt-ignoring harm."""
    return of_scale(study, variant, Direction.AT_LEAST, CATASTROPHIC)


def not_catastrophic(study: Study, variant: HasHarm) -> Question:
    """Its harm is less than CATASTROPHIC of the prompt-ignoring harm."""
    return of_scale(study, variant, Direction.LESS, CATASTROPHIC)


def mild(study: Study, variant: HasHarm) -> Question:
    """Its harm is at most MILD of the prompt-ignoring harm."""
    return of_scale(study, variant, Direction.AT_MOST, MILD)


def of_scale(study: Study, variant: HasHarm, direction: Direction, threshold: float) -> Question:
    """Its harm against a share of the prompt-ignoring harm."""
    evidence = share(variant.harm(study), study.prompt_ignoring_harm)
    return Question(f"harm of {variant}", evidence, direction, threshold, _OF_SCALE)


def degrades(study: Study, variant: Variant) -> list[Question]:
    """It has surely some harm, but not catastrophic harm: all that "artefacts" and "unnatural" say as numbers."""
    some = Question(f"harm of {variant}", over_prompts(variant.harm(study)), Direction.MORE, 0.0, "sd")
    return [some, not_catastrophic(study, variant)]


def recovers(study: Study, variant: Variant, compared: Variant) -> Question:
    """At most RECOVERS of the compared variant's harm is left."""
    evidence = share(variant.harm(study), compared.harm(study))
    return Question(f"harm of {variant}", evidence, Direction.AT_MOST, RECOVERS, f"of that of {compared}")


def less_harm(study: Study, less: HasHarm, more: HasHarm) -> Question:
    """``less`` has less harm than ``more``, paired over prompts."""
    what = f"harm of {more} - {less}"
    return Question(what, over_prompts(more.harm(study) - less.harm(study)), Direction.MORE, 0.0, "sd")


def middles(study: Study) -> Iterator[tuple[str, Span]]:
    """(stack, range): the middle of every stack, where it has at least two blocks."""
    for stack, length in study.stacks.items():
        for span, _ in spans("middle", length, stack):
            if len(span) > 1:
                yield stack, span


def groups(study: Study) -> Iterator[tuple[str, Span]]:
    """(stack, range): the middle of every stack and its halves, where they have at least two blocks."""
    for stack, length in study.stacks.items():
        for depth in ("middle", "middle-lower", "middle-upper"):
            for span, _ in spans(depth, length, stack):
                if len(span) > 1:
                    yield stack, span


def rivals(
    study: Study, stack: str, span: Span, strategy: str, others: Sequence[str] = ALL_STRATEGIES
) -> list[Variant]:
    """The other strategies on the same range; one for each different plan, and none with ``strategy``'s own."""
    plans = {Variant(stack, span, strategy).plan(study).normal()}
    out: list[Variant] = []
    for name in others:
        variant = Variant(stack, span, name)
        plan = variant.plan(study).normal()
        if plan not in plans:
            plans.add(plan)
            out.append(variant)
    return out
