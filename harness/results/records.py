"""What is seen and what is judged, as plain data: the journal's lines, readable without torch.

A Measurement is what was seen; a Verdict how that compares with the baseline; a Record holds both with the
fingerprint of everything that can change a number.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from harness.ablation.case import Case
from harness.ablation.guidance import GuidancePass
from harness.errors import DataError
from harness.results.fingerprint import Fingerprint
from harness.results.judge_check import JudgeCheck
from harness.results.latency import TOO_LARGE, Latency, check_latency
from harness.results.serialise import checked_schema, from_plain, to_plain

if TYPE_CHECKING:
    from harness.results.notebook_figure import NotebookFigure

_SCHEMA = 1
_MOST_IMAGES = 10**9


class Status(enum.StrEnum):
    """The outcome of comparing one metric, or a whole record, with its baseline."""

    ERROR = "error"  # the test raised; the note is the exception's first line
    OK = "ok"
    NOTHING = "did nothing"  # bitwise the control's latents, under a plan that isn't the identity
    REGRESSION = "regression"  # worse than the baseline allows
    STALE = "stale"  # better than the baseline allows: stale, or the ablation was not applied
    REFUSED = "refused"  # the judge failed its check, so that its scores say nothing
    NONDETERMINISM = "nondeterminism"  # within every tolerance, but not bitwise what the same fingerprint gave
    INCOMPARABLE = "incomparable"  # there is a baseline file, but it was measured with other prompts, say
    MISSING = "missing"  # the baseline file has no entry for this case, or the run has no value for the entry
    UNJUDGED = "unjudged"  # no baseline file, or a plan by hand
    UPDATED = "updated"  # the entry was written by this run
    INSENSITIVE = "insensitive"  # green, but one more skipped block would be green, too

    @property
    def red(self) -> bool:
        """Whether a test with this outcome fails."""
        return self in _RED


_RED = frozenset(
    {
        Status.ERROR,
        Status.NOTHING,
        Status.REGRESSION,
        Status.STALE,
        Status.REFUSED,
        Status.NONDETERMINISM,
        Status.INCOMPARABLE,
        Status.MISSING,
    }
)


@dataclass(frozen=True)
class Subset:
    """The prompts that an adaptive run measured a variant on: their ``indices`` among the ``of`` that there are.

    The values of the measurement are in the order of the indices.
    """

    indices: tuple[int, ...]
    of: int

    @property
    def whole(self) -> bool:
        """Whether it is all of them."""
        return len(self.indices) == self.of

    @property
    def text(self) -> str:
        """``16 of 64 prompts``."""
        return f"{len(self.indices)} of {self.of} prompts"


@dataclass(frozen=True)
class Measurement:
    """What was seen of one variant.

    ``values`` are per image, prompt-major ((prompt 0, seed 0), (prompt 0, seed 1), ...): judge score in
    cosine x 100, harm as control - variant in the same unit, drifts relative to nothing, grades in 0..1.
    ``summary`` are figures of the whole set; ``n`` is the number of images, ``prompts`` of prompts. Figures of extra
    metrics are called ``<metric>.<what>``; ``left_out`` says by name why some could not be measured. ``judge_check``
    says whether the judge can be trusted with this checkpoint's images; None where there is no judge. A control's
    measurement also holds the prompts' ``texts`` and their ``categories`` in the prompt file, where it has any.
    ``subset`` says which prompts of an adaptive run it is of; None where there was no choice of them.
    """

    n: int
    prompts: int
    values: Mapping[str, tuple[float, ...]]
    summary: Mapping[str, float]
    latents_sha256: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    judge_check: JudgeCheck | None = None
    texts: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subset: Subset | None = None

    @property
    def partial(self) -> bool:
        """Whether an adaptive run stopped before it had measured all prompts."""
        return self.subset is not None and not self.subset.whole

    def plot(self, name: str = "harm") -> NotebookFigure:
        """The values of that name by prompt, the largest first, with their mean and its 95 % interval.

        A figure of matplotlib, which a notebook shows; ``savefig`` writes it. Raises DataError where there are none.
        """
        from harness.results.measurement_notebook import measurement_figure

        return measurement_figure(self.values, self.prompts, name)

    def _repr_html_(self) -> str:
        from harness.results.measurement_notebook import measurement_html  # here: few who read records draw them

        count = f" ({self.subset.text})" if self.partial and self.subset is not None else ""
        return measurement_html(f"{self.n:,} images of {self.prompts:,} prompts{count}", self.summary, self.left_out)


@dataclass(frozen=True)
class Check:
    """One gated metric against its baseline, on both sides of which it may be as far away as the tolerance says.

    ``value`` is NaN where a stored figure was not measured. ``low`` and ``high`` are the value's interval where the
    gate asks whether all of it is outside the tolerance, as with times.
    """

    metric: str
    value: float
    baseline: float | None
    tolerance: float | None
    status: Status
    source: str = ""
    effect: float | None = None  # how far one more skipped block moves the value, where that was measured
    low: float | None = None
    high: float | None = None

    @property
    def excess(self) -> float:
        """How far outside the tolerance, in tolerances; at most 1 inside."""
        if self.baseline is None or not self.tolerance:
            return 0.0
        return abs(self.value - self.baseline) / self.tolerance


@dataclass(frozen=True)
class Verdict:
    """All checks of one record, and what follows from them."""

    status: Status
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()


class Kind(enum.StrEnum):
    """What a record is about."""

    QUALITY = "quality"  # a variant's images, against the control's
    LATENCY = "latency"  # a variant's time, beside the control's
    CONTROL = "control"  # the un-ablated model's own figures


@dataclass(frozen=True)
class Record:
    """One line of the journal.

    ``window`` is the inclusive range of denoising steps in which the plan held, None for all of them, and
    ``guidance_pass`` the pass of guidance, None for both. ``failure`` is
    the message of the test that failed, empty where none did.
    """

    kind: Kind
    case: str
    nodeid: str
    checkpoint: str
    stack: str
    place: str
    strategy: str
    plan: str
    words: tuple[str, ...]
    fingerprint: Fingerprint
    verdict: Verdict
    measurement: Measurement | None = None
    latency: Latency | None = None
    run: str = ""
    schema: int = _SCHEMA
    window: tuple[int, int] | None = None
    failure: str = ""
    guidance_pass: GuidancePass | None = None

    @property
    def title(self) -> str:
        """The case as a reader is told of it: a timing is said to be one."""
        return f"{self.case} (latency)" if self.kind is Kind.LATENCY else self.case

    @classmethod
    def of(
        cls,
        case: Case,
        kind: Kind,
        fingerprint: Fingerprint,
        verdict: Verdict,
        *,
        measurement: Measurement | None = None,
        latency: Latency | None = None,
        nodeid: str = "",
        run: str = "",
    ) -> Record:
        """The record of one case; ``nodeid`` is the test's where there is one, ``run`` the run folder's name."""
        return cls(
            kind=kind,
            case=case.id,
            nodeid=nodeid,
            checkpoint=case.checkpoint,
            stack=case.stack_name,
            place=case.place,
            strategy=case.label,
            plan=case.plan_text,
            words=case.words,
            fingerprint=fingerprint,
            verdict=verdict,
            measurement=measurement,
            latency=latency,
            run=run,
            window=case.window,
            guidance_pass=case.guidance_pass,
        )

    @property
    def error(self) -> str:
        """The first line of what the test raised where its status is ``error``; else nothing."""
        return self.verdict.notes[-1] if self.verdict.status is Status.ERROR and self.verdict.notes else ""

    @property
    def done(self) -> bool:
        """Whether it need not be made again: something was measured, and nothing was raised."""
        return self.measured and not self.error

    @property
    def measured(self) -> bool:
        """Whether there is a measurement or a timing in it."""
        return self.measurement is not None or self.latency is not None

    @classmethod
    def of_control(
        cls,
        fingerprint: Fingerprint,
        verdict: Verdict,
        measurement: Measurement | None,
        *,
        test: str = "",
        nodeid: str = "",
        run: str = "",
    ) -> Record:
        """The record of the un-ablated model of the fingerprint's checkpoint.

        ``test`` names a test of the control that raised: its record is another one than that of the control's figures.
        """
        return cls(
            kind=Kind.CONTROL,
            case=f"{fingerprint.checkpoint}-control" + (f"[{test}]" if test else ""),
            nodeid=nodeid,
            checkpoint=fingerprint.checkpoint,
            stack="",
            place="",
            strategy="",
            plan="",
            words=(),
            fingerprint=fingerprint,
            verdict=verdict,
            measurement=measurement,
            run=run,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts, strings and numbers; what is not finite becomes "nan" or "inf"."""
        data = cast("dict[str, Any]", to_plain(self))
        if self.measurement is not None and self.measurement.subset is None:
            del data["measurement"]["subset"]
        return data


def from_json(data: Any) -> Record:
    """Read what :meth:`Record.to_json` wrote.

    Raises DataError naming the field where the data is no record, one of another schema, or one whose numbers don't
    fit together.
    """
    record = from_plain(Record, checked_schema(data, _SCHEMA, "record"), "record")
    if record.measurement is not None:
        _check_measurement(record.measurement)
    if record.latency is not None:
        check_latency(record.latency)
    return record


def _check_measurement(measurement: Measurement) -> None:
    n, prompts = measurement.n, measurement.prompts
    # With random weights there are outputs and no prompts; a harm is always of a prompt.
    if not 0 <= n <= _MOST_IMAGES or prompts < 0 or ("harm" in measurement.values and not prompts):
        raise DataError(f"record.measurement is of {n} images and {prompts} prompts")
    subset = measurement.subset
    if subset is not None and (
        len(subset.indices) != prompts
        or len(set(subset.indices)) != prompts
        or not all(0 <= index < subset.of for index in subset.indices)
    ):
        raise DataError(f"record.measurement.subset is no choice of {prompts} from {subset.of} prompts")
    for name, values in measurement.values.items():
        _check_size(values, f"measurement.values.{name[:60]!r}")
        if prompts and len(values) % prompts:
            raise DataError(f"record.measurement.values.{name[:60]!r} has {len(values)} entries for {prompts} prompts")


def _check_size(values: Iterable[float], place: str) -> None:
    for value in values:
        if TOO_LARGE < abs(value) < math.inf:
            raise DataError(f"record.{place} has {value:g}, which is larger than anything that is measured")


def why_not_ranked(record: Record) -> str:
    """Why the images of a variant can't be ranked or compared by harm; empty where they can."""
    measurement = record.measurement
    if measurement is None:
        return "nothing was measured"
    harms, summary = measurement.values.get("harm", ()), measurement.summary
    if not harms or not all(map(math.isfinite, harms)):
        return "its harm was not measured, or is no number"
    if not (1 / TOO_LARGE < summary.get("seed_sd", 0.0) < TOO_LARGE):
        return f"its unit of harm is {summary.get('seed_sd')}"
    return "" if 0 <= summary.get("collapsed", -1.0) <= measurement.n else "its collapsed images were not counted"
