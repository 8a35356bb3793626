"""One case measured on an open lab, as records: what api.sweep and a worker do with each case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.ablation.case import Case
from harness.gates.reference import Reference
from harness.gates.verdict import judge, judge_control, judge_latency, unjudged
from harness.results.records import Kind, Record

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol

_WITHOUT_BASELINES = unjudged("measured without stored values")


def quality_record(
    lab: LabProtocol, case: Case, reference: Reference | None, *, run: str = "", pictures: Path | None = None
) -> tuple[Record, Callable[[], str]]:
    """One case measured, and judged where there is a reference; and a function that keeps its pictures in a folder.

    The function returns why a picture can't be written, empty where all could. Call it when the record is written.
    """
    measurement, observation = lab.run(
        case.plan, case.stack, case.window, modifiers=case.modifiers, guidance_pass=case.guidance_pass
    )
    verdict = _WITHOUT_BASELINES
    if reference is not None:
        verdict = judge(case, measurement, reference, lab.control_measurement())
    record = Record.of(case, Kind.QUALITY, lab.fingerprint, verdict, measurement=measurement, run=run)
    if pictures is None:
        return record, no_pictures
    from harness.report.case_pictures import keep_pictures  # loads Pillow

    texts, red = lab.control_measurement().texts, verdict.status.red
    return record, partial(
        keep_pictures, pictures, case, measurement, observation.images, lab.control_images, texts, red=red
    )


def no_pictures() -> str:
    """What keeps the pictures of a record that has none."""
    return ""


def latency_record(
    lab: LabProtocol, case: Case, reference: Reference | None, *, run: str = "", rounds: int | None = None
) -> Record:
    """One case timed, in so many pairs of forwards, and judged where there is a reference."""
    from harness.lab.modified_latency import measure_case_latency  # loads torch, which ranking records does without

    latency = measure_case_latency(lab, case) if rounds is None else measure_case_latency(lab, case, rounds)
    verdict = _WITHOUT_BASELINES if reference is None else judge_latency(case, latency, reference)
    return Record.of(case, Kind.LATENCY, lab.fingerprint, verdict, latency=latency, run=run)


def control_record(lab: LabProtocol, reference: Reference | None, *, run: str = "") -> Record:
    """The control's own figures, judged where there is a reference."""
    measurement = lab.control_measurement()
    verdict = _WITHOUT_BASELINES if reference is None else judge_control(measurement, reference)
    return Record.of_control(lab.fingerprint, verdict, measurement, run=run)
