"""What changed where a test is red: the variant, the model, what reads the images, or only the stored value.

The hash of the latents says whether the denoising gave the same: that of the variant and that of the control are both
stored. Where the latents are bitwise the stored ones, only what comes after them (VAE, judge) can have moved a figure.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from harness.gates.baselines import Baseline, Entry
from harness.gates.reference import Reference
from harness.gates.verdict import compare, compare_control
from harness.results.records import Check, Measurement

_SCORE = "score"
_FIRST = "first_score"  # what stands for it where the control was made on fewer seeds


class _Latents(enum.Enum):
    """Latents of this run beside the stored ones."""

    SAME = enum.auto()  # bitwise
    OTHER = enum.auto()
    UNKNOWN = enum.auto()  # nothing stored that they could be compared with


def attribution(case: str, variant: Measurement, control: Measurement, reference: Reference) -> str:
    """One line: what a variant's change follows from. Empty where there is no baseline."""
    baseline = reference.baseline
    if baseline is None:
        return ""
    ours = _variant_latents(case, variant, baseline, reference.fingerprint.digest)
    theirs = _control_latents(control, baseline)
    if ours is _Latents.SAME:
        return (
            f"latents: the variant's are bit-identical to the stored ones{_after_latents(theirs, control, reference)}"
        )
    if ours is _Latents.OTHER and theirs is _Latents.SAME:
        also = ", and its score moved too ({}), so decoding or the judge changed as well"
        moved = _moved_text(control, reference)
        return (
            "latents: the variant's moved and the control's are bit-identical, so the variant changed and not the model"
            + (also.format(moved) if moved else "")
        )
    return control_line(control, reference, "the variant, or its stored value,")


def _after_latents(control_latents: _Latents, control: Measurement, reference: Reference) -> str:
    """The rest of the sentence on a variant whose latents are the stored ones."""
    if control_latents is _Latents.OTHER:
        return " and the control's are not, so look for a change in what the variant leaves out"
    if _stored_score(control, reference) is None:
        return (
            "; the control's score is not stored, so nothing says whether decoding, the judge or the stored value "
            "changed"
        )
    if moved := _moved_text(control, reference):
        return f" and the control moved too ({moved}), so decoding or the judge changed"
    return (
        " and the control's score is the stored one, so only the stored value changed (edited, or measured otherwise)"
    )


def control_line(control: Measurement, reference: Reference, what: str) -> str:
    """Whether the control moved, by its latents and its figures; ``what`` changed where it did not.

    Empty where there is no baseline.
    """
    baseline = reference.baseline
    if baseline is None:
        return ""
    latents = _control_latents(control, baseline)
    moved = _moved_text(control, reference)
    if latents is _Latents.UNKNOWN:
        return f"control: not stored, so nothing says whether {what} changed or the model"
    if latents is _Latents.SAME:
        if moved:
            return f"control: bit-identical latents, but it moved ({moved}), so decoding or the judge changed"
        return f"control: bit-identical, so {what} changed and not the model"
    if moved:
        return f"control: moved too ({moved}), so look for a change of the model or the library first"
    return f"control: not bit-identical but within its tolerances, so {what} changed and not the model"


def control_attribution(control: Measurement, reference: Reference) -> str:
    """One line on a red control whose latents are the stored ones; empty for any other."""
    if reference.baseline is None or _control_latents(control, reference.baseline) is not _Latents.SAME:
        return ""
    return "latents: bit-identical to the stored ones, so decoding, the judge or the stored value changed"


def _variant_latents(case: str, variant: Measurement, baseline: Baseline, fingerprint: str) -> _Latents:
    """A variant's latents beside the stored ones; ``fingerprint`` is this run's digest.

    Other bits say something where they were stored under this fingerprint, or under that of the control's, with which
    they are then compared: another machine has other bits anyway.
    """
    stored = baseline.latents.get(case)
    if stored is None or not variant.latents_sha256:
        return _Latents.UNKNOWN
    digest, latents = stored
    if latents == variant.latents_sha256:
        return _Latents.SAME
    beside = baseline.latents.get(f"{baseline.checkpoint}-control", ("", ""))
    return _Latents.OTHER if digest in (fingerprint, beside[0]) else _Latents.UNKNOWN


def _control_latents(control: Measurement, baseline: Baseline) -> _Latents:
    stored = baseline.facts.control_latents if baseline.facts is not None else ""
    if not stored or not control.latents_sha256:
        return _Latents.UNKNOWN
    return _Latents.SAME if stored == control.latents_sha256 else _Latents.OTHER


def _stored_score(control: Measurement, reference: Reference) -> tuple[str, float] | None:
    """The figure that is the control's score in this run, and its stored value; None where that is not stored."""
    name = _SCORE if _SCORE in control.summary else _FIRST
    stored = reference.baseline.control if reference.baseline is not None else None
    return None if stored is None or name not in stored.others else (name, stored.others[name])


def _moved_text(control: Measurement, reference: Reference) -> str:
    """``score 31.2 -> 30.9``: the control's figures that left their tolerances; empty where none did."""
    moved = [c for c in _control_checks(control, reference) if c.status.red and c.baseline is not None]
    return ", ".join(f"{check.metric} {check.baseline:.4g} -> {check.value:.4g}" for check in moved)


def _control_checks(control: Measurement, reference: Reference) -> Sequence[Check]:
    """The control's gates, and its score where no tolerance makes that one: it is then compared exactly."""
    checks = compare_control(control, reference).checks
    score = _stored_score(control, reference)
    if score is None or any(check.metric == score[0] for check in checks):
        return checks
    name, value = score
    stored = {name: Entry(value, control.prompts)}
    case = f"{reference.fingerprint.checkpoint}-control"
    return (*checks, *compare(case, control.summary, stored, reference.tolerances, [name]).checks)
