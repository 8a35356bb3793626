"""The plan language: which blocks of one stack run, in which order.

Grammar (EBNF; white space separates steps)::

    plan    = step , { " " , step } ;
    step    = block | range | group ;
    block   = index , [ part ] ;
    range   = index , "-" , index , [ part ] ;           (* inclusive; 7-4 counts down *)
    part    = { "." , ( "attn" | "ff" | "text" | "image" ) } , [ "*" , factor ] ;
    group   = "(" , branch , { "|" , branch } , ")" , [ "+" | "~" ] , [ "x" , count ] ;
    branch  = ( block | range ) , { " " , ( block | range ) } ;
    index   = digit , { digit } ;                        (* 0 to 9, at most 6 of them *)
    count   = digit , { digit } ;                        (* at least 1 *)
    factor  = digit , { digit } , [ "." , digit , { digit } ] ;    (* 0 to 100, at most 4 decimals *)

A block with parts runs or gives only those, and a factor scales its update
(:mod:`harness.ablation.block_parts`); behind a range, both are of each of its blocks. A group runs its branches on the
same input and combines their outputs: the mean (no mark), the sum of their updates (``+``), or that sum over the square
root of their number (``~``); ``x3`` does the whole group three times over. ``0-3 (4|5|6|7)x3 8-18`` is looped parallel
in a stack of 19. The empty plan, which runs nothing, is written ``-``. A plan runs at most 100,000 blocks, loops
unrolled.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.ablation.block_parts import Atom, PartialBlock, atom, index_of, partial, suffix_of
from harness.errors import PlanError

_MOST = 100_000  # blocks that a plan runs
_DIGITS = 6  # of a number


class Combine(enum.Enum):
    """How the outputs of a group's M branches become one, for input x and updates d_i = f_i(x) - x."""

    MEAN = ""  # x + sum(d_i) / M
    SUM = "+"  # x + sum(d_i)
    ROOT = "~"  # x + sum(d_i) / sqrt(M)


Branch = tuple[Atom, ...]


@dataclass(frozen=True)
class Group:
    """Branches run on the same input and combined, ``loops`` times over."""

    branches: tuple[Branch, ...]
    combine: Combine = Combine.MEAN
    loops: int = 1

    def __post_init__(self) -> None:
        if not self.branches or not all(self.branches):
            raise PlanError("a group needs at least one branch, and every branch at least one block")
        if self.loops < 1:
            raise PlanError(f"a group runs at least once, not x{self.loops}")
        object.__setattr__(self, "branches", tuple(tuple(map(atom, branch)) for branch in self.branches))
        _check_number(self.size)

    @property
    def size(self) -> int:
        """How many blocks stand in it, loops unrolled."""
        return sum(map(len, self.branches)) * self.loops

    def atoms(self) -> Iterator[Atom]:
        """Every block in the order of execution, branches one after another, loops unrolled."""
        for _ in range(self.loops):
            for branch in self.branches:
                yield from branch


Step = Atom | Group


@dataclass(frozen=True)
class Plan:
    """The steps over one stack. ``str(plan)`` prints it; :func:`parse` reads it back.

    Raises PlanError for a step that is neither a group nor a whole number (numpy's do, too) nor a partial block.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        steps = tuple(step if isinstance(step, Group) else atom(step) for step in self.steps)
        object.__setattr__(self, "steps", steps)
        _check_number(sum(step.size if isinstance(step, Group) else 1 for step in steps))

    @property
    def runs(self) -> int:
        """How many blocks it runs, loops unrolled; a part of a block is one."""
        return sum(map(block_runs, self.steps))

    @property
    def work(self) -> float:
        """How many whole blocks' work it is: ``runs`` where no block is partial."""
        return sum(map(_work, self.steps))

    def __str__(self) -> str:
        return format_plan(self)

    def atoms(self) -> Iterator[Atom]:
        """Every block, whole or partial, in the order of execution, branches one after another, loops unrolled."""
        for step in self.steps:
            for block in step.atoms() if isinstance(step, Group) else (step,):
                if isinstance(block, int) or block.runs:
                    yield block

    def blocks(self) -> Iterator[int]:
        """The index of every block that runs, in the order of :meth:`atoms`."""
        return map(index_of, self.atoms())

    def named(self) -> Iterator[Atom]:
        """Every block that stands in it, once for each place, whether it runs or not."""
        for step in self.steps:
            if isinstance(step, Group):
                for branch in step.branches:
                    yield from branch
            else:
                yield step

    @property
    def is_partial(self) -> bool:
        """Whether any block stands in it of which only a part runs, or whose update is scaled."""
        return any(isinstance(block, PartialBlock) for block in self.named())

    def normal(self) -> Plan:
        """The same computation without groups that are none: a single branch is just its sequence.

        A block that is scaled by 0 is left out, outside of groups.
        """
        steps: list[Step] = []
        for step in self.steps:
            if isinstance(step, Group) and len(step.branches) == 1:
                steps.extend(step.branches[0] * step.loops)
            else:
                steps.append(step)
        return Plan(tuple(step for step in steps if not isinstance(step, PartialBlock) or step.runs))

    def check(self, length: int, stack: str = "") -> None:
        """Raise PlanError where a block isn't one of a stack of ``length``; ``stack`` only names it in the message."""
        for block in map(index_of, self.named()):
            if not 0 <= block < length:
                raise PlanError(f"plan '{self}'{_over(stack, length)}: block {block} is out of range")

    def is_identity(self, length: int) -> bool:
        """Whether it runs blocks 0..length-1 once each, in order."""
        return self.normal().steps == tuple(range(length))


def block_runs(step: Step) -> int:
    """How many blocks a step runs."""
    if isinstance(step, Group):
        return sum(block_runs(block) for branch in step.branches for block in branch) * step.loops
    return int(isinstance(step, int) or step.runs)


def _work(step: Step) -> float:
    """How many whole blocks' work a step is."""
    if isinstance(step, Group):
        return sum(_work(block) for branch in step.branches for block in branch) * step.loops
    return 1 if isinstance(step, int) else step.work


def _check_number(blocks: int) -> None:
    if blocks > _MOST:
        raise PlanError(f"a plan runs at most {_MOST:,} blocks, loops unrolled, and not {blocks:,}")


def _over(stack: str, length: int | None) -> str:
    size = f" of {length} blocks (0-{length - 1})" if length else ""
    return f" over stack {stack!r}{size}" if stack else size


def identity(length: int) -> Plan:
    """The plan that runs a stack as it is."""
    return Plan(tuple(range(length)))


def without_block(length: int, block: int) -> Plan:
    """The plan that runs every block of a stack but one."""
    return Plan(tuple(i for i in range(length) if i != block))


def format_plan(plan: Plan) -> str:
    """The shortest text of a plan: runs of three or more consecutive blocks become ranges."""
    if not plan.steps:
        return "-"
    parts: list[str] = []
    run: list[Atom] = []
    for step in plan.steps:
        if not isinstance(step, Group):
            run.append(step)
            continue
        parts += _ranges(run)
        run = []
        inner = "|".join(" ".join(_ranges(branch)) for branch in step.branches)
        loops = f"x{step.loops}" if step.loops > 1 else ""
        parts.append(f"({inner}){step.combine.value}{loops}")
    return " ".join(parts + _ranges(run))


def _ranges(run: Sequence[Atom]) -> list[str]:
    parts: list[str] = []
    at = 0
    while at < len(run):
        end = at + 1
        while end < len(run) and _follows(run[end], run[end - 1]):
            end += 1
        if end - at >= 3:
            parts.append(f"{index_of(run[at])}-{index_of(run[end - 1])}{suffix_of(run[at])}")
        else:
            parts += [str(block) for block in run[at:end]]
        at = end
    return parts


def _follows(block: Atom, before: Atom) -> bool:
    return index_of(block) == index_of(before) + 1 and suffix_of(block) == suffix_of(before)


_PART = r"(?:\.[a-z]+)*(?:\*\d+(?:\.\d+)?)?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<range>\d+-\d+{_PART})|(?P<index>\d+{_PART})|(?P<loops>x\d+)|(?P<sign>[()|+~]))", flags=re.ASCII
)
_BLOCKS = re.compile(r"(\d+)(?:-(\d+))?((?:\.[a-z]+)*)(?:\*(.+))?", flags=re.ASCII)


class _Reader:
    """A cursor over the tokens of one plan text; knows enough to say where something is wrong."""

    def __init__(self, text: str, stack: str, length: int | None) -> None:
        text = text.strip()
        self.text, self.stack, self.length = text, stack, length
        self.tokens: list[tuple[str, str, int]] = []  # kind, text, column (1-based)
        at, end = 0, len(text)
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                column = at + len(text[at:]) - len(text[at:].lstrip())
                word = re.split(r"[\s()|]", text[column : column + 40], maxsplit=1)[0] or text[column]
                raise self.error(f"does not understand {word!r}", column + 1)
            assert match.lastgroup is not None
            self.tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1))
            at = match.end()
        self.at = 0

    def error(self, what: str, column: int) -> PlanError:
        text = self.text if len(self.text) <= 200 else f"{self.text[:200]} ..."
        where = f"plan {text!r}{_over(self.stack, self.length)}"
        return PlanError(f"{where}: {what} at column {column}; a plan is written like '0-3 (4|5|6)x3 7-18'")

    def peek(self) -> tuple[str, str, int]:
        if self.at < len(self.tokens):
            return self.tokens[self.at]
        return ("end", "the end", len(self.text) + 1)

    def take(self) -> tuple[str, str, int]:
        token = self.peek()
        self.at += 1
        return token

    def small(self, text: str, column: int) -> int:
        if len(text) > _DIGITS:
            raise self.error(f"a number of {len(text)} digits, of at most {_DIGITS},", column)
        return int(text)

    def number(self, text: str, column: int) -> int:
        value = self.small(text, column)
        if self.length is not None and value >= self.length:
            raise self.error(f"block {value} is out of range", column)
        return value

    def indices(self) -> list[Atom]:
        """The blocks of an index or range token, which the caller has seen to be next."""
        _, text, column = self.take()
        match = _BLOCKS.fullmatch(text)
        assert match is not None
        first = self.number(match[1], column)
        last = first if match[2] is None else self.number(match[2], column + match.start(2))
        step = 1 if last >= first else -1
        _check_number(abs(last - first) + 1)
        names, factor = match[3].split(".")[1:], match[4] or ""
        if not names and not factor:
            return list(range(first, last + step, step))
        try:
            return [partial(index, names, factor) for index in range(first, last + step, step)]
        except PlanError as error:
            raise self.error(str(error), column + match.start(3)) from None

    def group(self) -> Group:
        opened = self.take()[2]
        branches: list[Branch] = []
        branch: list[Atom] = []
        while True:
            kind, text, column = self.peek()
            if kind in ("index", "range"):
                branch += self.indices()
            elif text in ("|", ")"):
                if not branch:
                    raise self.error("an empty branch", column)
                branches.append(tuple(branch))
                branch = []
                self.take()
                if text == ")":
                    break
            elif kind == "end":
                raise self.error("a '(' that is never closed", opened)
            else:
                raise self.error(f"{text!r} inside a group", column)
        combine = Combine.MEAN
        if self.peek()[1] in ("+", "~"):
            combine = Combine(self.take()[1])
        loops = 1
        if self.peek()[0] == "loops":
            _, text, column = self.take()
            loops = self.small(text[1:], column)
            if loops < 1:
                raise self.error("a group runs at least once: 'x0'", column)
        return Group(tuple(branches), combine, loops)


def parse(text: str, *, length: int | None = None, stack: str = "") -> Plan:
    """Read a plan.

    ``length`` (blocks in the stack) checks the indices; ``stack`` only names it in messages.
    Raises PlanError with the token, its column, the stack and its length.
    """
    if text.strip() == "-":
        return Plan(())
    reader = _Reader(text, stack, length)
    steps: list[Step] = []
    while reader.peek()[0] != "end":
        kind, word, column = reader.peek()
        if kind in ("index", "range"):
            steps += reader.indices()
        elif word == "(":
            steps.append(reader.group())
        else:
            raise reader.error(f"{word!r} without a group before it" if word != ")" else "')' without '('", column)
    if not steps:
        raise reader.error("no step (an empty plan is written '-')", 1)
    return Plan(tuple(steps))


def split_stack(
    plan: Plan | str, stack: str | None = None, names: Mapping[str, str] = MappingProxyType({})
) -> tuple[str | None, Plan | str]:
    """(stack, plan) from ``"double: 0-3 8-18"``, or from a plan and a stack's name; stack None where none is named.

    ``names`` are other names of stacks, each with the one that is returned for it: those of diffusers.
    Raises PlanError where the text names another stack than ``stack``.
    """
    stack = None if stack is None else names.get(stack, stack)
    if isinstance(plan, Plan) or ":" not in plan:
        return stack, plan
    named, steps = (part.strip() for part in plan.split(":", 1))
    named = names.get(named, named)
    if stack not in (None, named):
        raise PlanError(f"the plan names stack {named!r}, the call {stack!r}")
    return named, steps


def as_plan(plan: Plan | str, length: int, stack: str) -> Plan:
    """The plan over a stack of ``length`` blocks: a text is parsed, a Plan is only checked.

    Raises PlanError where a block isn't one of the stack.
    """
    if isinstance(plan, str):
        return parse(plan, length=length, stack=stack)
    plan.check(length, stack)
    return plan
