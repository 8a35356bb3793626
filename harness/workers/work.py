"""The work file: a JSON file that names cases of one checkpoint, and everything that they are measured with.

It is what a runner and a worker agree on, on whatever machine each of them is. A version or a field that this harness
doesn't know is refused, since leaving it out would measure something else than what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

from harness.ablation.case import Case
from harness.ablation.guidance import GuidancePass
from harness.ablation.modifiers import read_modifier
from harness.ablation.plan import as_plan
from harness.ablation.ranges import Span
from harness.ablation.steps import within
from harness.errors import CaseError, DataError, HarnessError, PlanError
from harness.files import parse_json
from harness.models.spec import BATCH, DTYPES, OFFLOADS, PIXELS, SEEDS, STEPS
from harness.results.serialise import Rule, from_plain, no_unknown_fields, to_plain

VERSION = 1  # of the layout of the file
FILE = "work.json"  # its name in a run folder
ROUNDS = 12  # timed pairs of forwards of a case

_Text = Annotated[str, Rule(bool, "a text that is not empty")]
_Steps = Annotated[int, Rule(lambda n: STEPS.least <= n <= STEPS.most, f"{STEPS.least} to {STEPS.most}")]
_Pixels = Annotated[int, Rule(lambda n: PIXELS.least <= n <= PIXELS.most, f"{PIXELS.least} to {PIXELS.most}")]
_Seeds = Annotated[int, Rule(lambda n: SEEDS.least <= n <= SEEDS.most, f"{SEEDS.least} to {SEEDS.most}")]
_VariantSeeds = Annotated[int, Rule(lambda n: 1 <= n <= SEEDS.most, f"1 to {SEEDS.most}")]
_Batch = Annotated[int, Rule(lambda n: BATCH.least <= n <= BATCH.most, f"{BATCH.least} to {BATCH.most}")]
_Rounds = Annotated[int, Rule(lambda n: 4 <= n <= 10_000, "4 to 10000")]
_Dtype = Annotated[str, Rule(lambda text: text in DTYPES, f"one of {', '.join(DTYPES)}")]
_Offload = Annotated[str, Rule(lambda text: text in OFFLOADS, f"one of {', '.join(OFFLOADS)}")]


@dataclass(frozen=True)
class Model:
    """The checkpoint, and how it is opened; None leaves what the checkpoint itself says.

    ``weights`` is ``random`` or ``random:small`` for random weights. ``control_seeds`` is the number of seeds that the
    control is run on.
    """

    checkpoint: _Text
    weights: str | None = None
    dtype: _Dtype | None = None
    device: str | None = None
    offload: _Offload = "none"
    steps: _Steps | None = None
    width: _Pixels | None = None
    height: _Pixels | None = None
    control_seeds: _Seeds | None = None
    batch: _Batch | None = None


@dataclass(frozen=True)
class Measuring:
    """What is measured of each case.

    ``prompts`` are texts by category (``""`` where there is none), None the checkpoint's own. ``seeds`` are those of a
    variant, ``baselines`` the folder of stored values that it is judged by, ``rounds`` the timed pairs of forwards of
    a case where ``latency`` is measured.
    """

    prompts: Mapping[str, tuple[str, ...]] | None = None
    judge: str | None = None
    trust_judge: bool = False
    metrics: tuple[str, ...] = ()
    seeds: _VariantSeeds = 1
    baselines: str | None = None
    latency: bool = False
    rounds: _Rounds = ROUNDS


@dataclass(frozen=True)
class CaseEntry:
    """One case: its id, and what the id stands for. ``range`` and ``window`` are inclusive.

    The ``strategy`` is empty, and the plan the identity, where there are ``modifiers`` alone.
    """

    id: _Text
    stack: _Text
    plan: _Text
    strategy: str
    range: tuple[int, int] | None = None
    words: tuple[str, ...] = ()
    window: tuple[int, int] | None = None
    modifiers: tuple[str, ...] = ()
    guidance_pass: GuidancePass | None = None

    @classmethod
    def of(cls, case: Case) -> CaseEntry:
        """The entry of a case."""
        span = None if case.span is None else (case.span.first, case.span.last)
        return cls(
            case.id,
            case.stack,
            str(case.plan),
            case.strategy,
            span,
            case.words,
            case.window,
            tuple(map(str, case.modifiers)),
            case.guidance_pass,
        )


@dataclass(frozen=True)
class Work:
    """A piece of work: some cases of one checkpoint, and what they are measured with."""

    model: Model
    measuring: Measuring
    cases: tuple[CaseEntry, ...]
    version: int = VERSION

    def to_text(self) -> str:
        """The work file's content."""
        return json.dumps(to_plain(self), indent=1, sort_keys=False, ensure_ascii=False) + "\n"


def read_work(text: str, place: str = FILE) -> Work:
    """The work of a work file's content; ``place`` names the file in messages.

    Raises DataError, with one line, where it is no such file: cut off, of another version, with an unknown field, a
    missing one, or one of another type, without cases, or with one case twice.
    """
    try:
        data = parse_json(text, unique=True)
    except ValueError as error:
        raise DataError(f"{place} is no work file: {error}") from None
    try:
        return _checked(data)
    except DataError as error:
        raise DataError(f"{place}: {error}") from None


def _checked(data: Any) -> Work:
    if not isinstance(data, Mapping):
        raise DataError("a work file holds an object")
    fields = cast("Mapping[str, Any]", data)
    version = fields.get("version")
    if type(version) is not int or version != VERSION:
        shown = "no version" if version is None else f"version {str(version)[:40]!r}"
        raise DataError(f"it has {shown}, and this harness reads work files of version {VERSION}")
    no_unknown_fields(Work, fields)
    for name, kind in (("model", Model), ("measuring", Measuring)):
        if name in fields:
            no_unknown_fields(kind, fields[name], name)
    entries = fields.get("cases")
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        no_unknown_fields(CaseEntry, entry, f"cases[{number}]")
    work = from_plain(Work, fields)
    ids = [entry.id for entry in work.cases]
    if not ids:
        raise DataError("it names no case")
    if len(set(ids)) < len(ids):
        raise DataError(f"it names a case twice: {next(i for i in ids if ids.count(i) > 1)}")
    return work


def cases_of(work: Work, checkpoint: str, stacks: Mapping[str, int], steps: int) -> list[Case]:
    """The cases of a work, on the checkpoint of that name with these ``stacks`` and so many denoising steps.

    Raises CaseError where an entry doesn't fit the checkpoint, or its id stands for something else.
    """
    return [_case(entry, checkpoint, stacks, steps) for entry in work.cases]


def _case(entry: CaseEntry, checkpoint: str, stacks: Mapping[str, int], steps: int) -> Case:
    if entry.stack not in stacks:
        raise CaseError(f"case {entry.id!r}: checkpoint {checkpoint!r} has no stack {entry.stack!r}")
    length = stacks[entry.stack]
    try:
        plan = as_plan(entry.plan, length, entry.stack)
        span = None if entry.range is None else Span(*entry.range)
        window = within(entry.window, steps, checkpoint)
        modifiers = tuple(read_modifier(text).checked(checkpoint, stacks, steps) for text in entry.modifiers)
    except (PlanError, CaseError) as error:
        raise CaseError(f"case {entry.id!r}: {error}") from None
    known = steps if window is not None or modifiers else 0
    case = Case(
        checkpoint,
        entry.stack,
        length,
        entry.strategy,
        plan,
        span,
        entry.words,
        window,
        known,
        modifiers,
        entry.guidance_pass,
    )
    if case.id != entry.id:
        raise CaseError(f"case {entry.id!r} of the work file is {case.id!r} on this checkpoint")
    return case


def entries_of(cases: Sequence[Case]) -> tuple[CaseEntry, ...]:
    """The entries of some cases. Raises HarnessError where there are none."""
    if not cases:
        raise HarnessError("no case is left: on these ranges the strategies change nothing")
    return tuple(CaseEntry.of(case) for case in cases)
