"""docs/models.md: every transformer class of diffusers, its stacks, how their blocks are called, and what is exact.

``python -m harness models --page docs/models.md`` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.markdown import markdown_table
from harness.report.text import NOTHING
from harness.results.model_survey import ModelSurvey, StackSurvey

MARKS = ("<!-- survey of diffusers {} -->", "<!-- end of the survey -->")
_HEADER = ("class", "stack", "a block returns", "by index", "bitwise", "not possible, and why")
_STRATEGIES = ("identity", "skip", "reverse", "parallel", "restored")


@dataclass(frozen=True)
class SurveyTotals:
    """How many classes and stacks there are, and of how many stacks the identity is bitwise."""

    classes: int
    stacks: int
    identity: int


def totals(surveys: Sequence[ModelSurvey]) -> SurveyTotals:
    """Counts over all classes."""
    stacks = [stack for survey in surveys for stack in survey.stacks]
    return SurveyTotals(len(surveys), len(stacks), sum("identity" in stack.exact for stack in stacks))


def survey_table(surveys: Sequence[ModelSurvey]) -> str:
    """One row a stack, in Markdown."""
    return "\n".join(markdown_table(_HEADER, [row for survey in surveys for row in rows(survey)]))


def rows(survey: ModelSurvey) -> list[tuple[str, ...]]:
    """The rows of one class."""
    if not survey.stacks:
        return [(_code(survey.name), NOTHING, NOTHING, NOTHING, NOTHING, survey.problem or "no list of blocks")]
    return [_row(survey.name, stack) for stack in survey.stacks]


def _row(name: str, stack: StackSurvey) -> tuple[str, ...]:
    what = _code(name), _code(stack.name)
    if stack.refused:
        return (*what, NOTHING, NOTHING, NOTHING, stack.refused.split("; ")[0])
    exact = [check for check in _STRATEGIES if check in stack.exact]
    return (
        *what,
        _code(stack.contract),
        ", ".join(map(_code, stack.by_block)) or NOTHING,
        "all" if len(exact) == len(_STRATEGIES) else ", ".join(exact),
        why_not(stack) or NOTHING,
    )


def why_not(stack: StackSurvey) -> str:
    """Why some of the checks are not exact; empty where all are. The shorter list is told of apart from the others."""
    failed = [name for name in stack.failed if name in _STRATEGIES]
    reasons = [f"{', '.join(failed)}: {stack.fixed or stack.failed[failed[0]]}"] if failed else []
    if "deletion" in stack.failed:
        reasons.append("a shorter list is another model")
    return "; ".join(reasons)


def _code(text: str) -> str:
    return f"`{text}`"


def survey_block(surveys: Sequence[ModelSurvey], version: str) -> str:
    """What stands between the marks of docs/models.md."""
    counts = totals(surveys)
    return "\n".join(
        (
            MARKS[0].format(version),
            "",
            f"diffusers {version}: {counts.classes} classes with {counts.stacks} stacks; the identity behind slots is "
            f"bitwise the model on {counts.identity} of them.",
            "",
            survey_table(surveys),
            "",
            MARKS[1],
        )
    )


def put_survey(page: str, surveys: Sequence[ModelSurvey], version: str) -> str:
    """The page with this survey in the place of the one that it has. Raises ValueError where it has no marks."""
    opening = MARKS[0].split("{}", maxsplit=1)[0]
    if opening not in page or MARKS[1] not in page:
        raise ValueError(f"the page has no line {MARKS[0].format('VERSION')!r} with {MARKS[1]!r} behind it")
    before, rest = page.split(opening, 1)
    return before + survey_block(surveys, version) + rest.split(MARKS[1], 1)[1]


def described(survey: ModelSurvey) -> str:
    """One class for a terminal: its stacks, one after another."""
    if not survey.stacks:
        return f"{survey.name}: {survey.problem or 'it has no list of blocks, so there is nothing to ablate'}"
    lines = [survey.name]
    for stack in survey.stacks:
        lines.append(f"  {stack.name}: blocks of {stack.block}")
        if stack.refused:
            lines.append(f"    refused: {stack.refused}")
            continue
        lines.append(f"    a block returns {stack.contract}")
        if stack.by_block:
            lines.append(f"    {', '.join(stack.by_block)} comes by index and belongs to the block")
        lines.append(f"    bitwise: {', '.join(name for name in _STRATEGIES if name in stack.exact)}")
        if reasons := why_not(stack):
            lines.append(f"    not: {reasons}")
    return "\n".join(lines)
