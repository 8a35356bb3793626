"""What a test holds in its hands: one case on one lab, to measure, time and check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import baselines, bits
from harness.bench import Judged, changes, facts
from harness.case import Case
from harness.records import Check, Latency, Measurement, Record, Status, Verdict, of_case
from harness.statistics import by_prompt

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from harness.laboratory import Laboratory

UNITS = {"harm": "sd"}
# A step in the window takes what the case without it takes, and one outside it what the control does.
NO_LATENCY = "latency is of one forward; a window of steps has none of its own (time the case without it)"


@dataclass
class Trial:
    """A case under test: ``check(measure())`` is a quality test, ``time(benchmark)`` a latency test."""

    case: Case
    lab: Laboratory
    judged: Judged
    nodeid: str
    run_folder: Path
    rounds: int
    update: str | None
    records: list[Record]

    def measure(self) -> Measurement:
        """Run the variant, measure it against the control, and keep a strip of its images where there are any."""
        from harness.report.sheet import keep_strips

        measurement, seen = self.lab.run(self.case.plan, self.case.stack, self.case.window)
        keep_strips(self.run_folder, self.case, seen.images, self.lab.control_images)
        return measurement

    def check(self, measurement: Measurement) -> None:
        """Compare with the baseline, record the verdict, and fail the test where it is red."""
        verdict = self._verdict(measurement)
        self._record("quality", verdict, measurement=measurement)
        if verdict.status.red:
            pytest.fail(self._failure(verdict, measurement), pytrace=False)

    def time(self, benchmark: BenchmarkFixture) -> None:
        """Time the variant against the control and record it; on a CPU, latency is reported and not judged.

        Skips a case in a window of steps.
        """
        if self.case.window is not None:
            pytest.skip(NO_LATENCY)
        from harness import latency

        measured = latency.measure(self.lab, self.case, benchmark, self.rounds)
        if measured is None:
            self._record("latency", Verdict(Status.UNJUDGED, notes=("not measured: benchmarks are disabled",)))
            return
        verdict = self._latency_verdict(measured)
        self._record("latency", verdict, latency=measured)
        if verdict.status.red:
            lines = [_line(check) for check in verdict.checks]
            pytest.fail("\n".join([*lines, self._accept()]), pytrace=False)

    def _verdict(self, measurement: Measurement) -> Verdict:
        latents, control = measurement.latents_sha256, self.lab.control_measurement().latents_sha256
        return bits.did_nothing(self._held(measurement), latents, control, str(self.case.plan))

    def _held(self, measurement: Measurement) -> Verdict:
        """The measurement against the stored values."""
        judged = self.judged
        if self.case.span is None and not judged.incomparable:
            return Verdict(Status.UNJUDGED, notes=("a plan by hand has no baseline",))
        if reason := _not_judged(judged, self.update):
            return Verdict(Status.UNJUDGED, notes=(reason,))
        stored = judged.baseline.cases.get(self.case.id, {}) if judged.baseline else {}
        if self.case.window is not None and not stored and self.update is None:
            # Any number of windows can be asked for: that nobody stored this one is no fault.
            return Verdict(Status.UNJUDGED, notes=("nobody stored this window of steps",))
        verdict = baselines.compare(self.case.id, measurement.summary, stored, judged.tolerances)
        verdict = _same_bits(verdict, self.case.id, measurement, self.lab, judged)
        return verdict if self.update is None else baselines.accepted(verdict, self.update)

    def _latency_verdict(self, measured: Latency) -> Verdict:
        judged = self.judged
        if self.lab.device.type != "cuda":
            return Verdict(Status.UNJUDGED, notes=("latency is only reported on a CPU",))
        if self.lab.fingerprint.offload == "group":
            return Verdict(Status.UNJUDGED, notes=("latency is only reported where weights move at every forward",))
        if judged.baseline is None or not judged.exact or judged.incomparable or self.case.span is None:
            return Verdict(Status.UNJUDGED, notes=("no latency baseline from this very device",))
        stored = judged.baseline.cases.get(self.case.id, {})
        values = {"relative_time": 1.0 / measured.ratio}
        verdict = baselines.compare(self.case.id, values, stored, judged.tolerances, ("relative_time",))
        return verdict if self.update is None else baselines.accepted(verdict, self.update)

    def _record(
        self, kind: str, verdict: Verdict, measurement: Measurement | None = None, latency: Latency | None = None
    ) -> None:
        self.records.append(
            of_case(
                self.case,
                kind,
                self.lab.fingerprint,
                verdict,
                measurement=measurement,
                latency=latency,
                nodeid=self.nodeid,
                run=self.run_folder.name,
            )
        )

    def _failure(self, verdict: Verdict, measurement: Measurement) -> str:
        """All metrics at once, what changed since the baseline, whether the control moved too, and the way on."""
        order = sorted(verdict.checks, key=lambda c: (not c.status.red, -c.excess))
        lines = [_line(check) for check in order]
        if verdict.notes:
            lines.insert(0, f"{verdict.status.value}: {verdict.notes[-1]}")
        if self.judged.baseline is not None:
            lines.append(_changed_line(self.lab, self.judged.baseline))
            lines.append(control_line(self.lab, self.judged))
        harms = by_prompt(measurement.values["harm"], measurement.prompts) / measurement.summary["seed_sd"]
        worst = harms.argsort()[::-1][:3]
        lines.append(
            "worst prompts: "
            + ", ".join(f"#{i + 1} {harms[i]:.1f} sd" for i in worst)
            + f"   {self.run_folder / 'images' / (self.case.id + '.png')}"
        )
        return "\n".join([*lines, self._accept()])

    def _accept(self) -> str:
        mode = "missing" if self.judged.baseline and self.case.id not in self.judged.baseline.cases else "changed"
        return f'accept with: pytest "{self.nodeid}" --dit-baseline-update={mode}'


@dataclass
class ControlTrial:
    """The un-ablated model of one checkpoint under test."""

    lab: Laboratory
    judged: Judged
    nodeid: str
    run_folder: Path
    update: str | None
    records: list[Record]

    def needs_images(self) -> None:
        """Skip the test, with the reason, where this checkpoint makes none."""
        if self.lab.blind:
            pytest.skip(self.lab.blind)

    def check(self) -> None:
        """Compare the control's own figures with its baseline, record them, and fail where they are red."""
        lab, judged = self.lab, self.judged
        measurement = lab.control_measurement()
        if reason := _not_judged(judged, self.update):
            verdict = Verdict(Status.UNJUDGED, notes=(reason,))
        else:
            verdict = _compare_control(lab, judged)
            verdict = _same_bits(verdict, f"{lab.checkpoint.name}-control", measurement, lab, judged)
            if self.update is not None:
                verdict = baselines.accepted(verdict, self.update)
        self.records.append(
            Record(
                kind="control",
                case=f"{lab.checkpoint.name}-control",
                nodeid=self.nodeid,
                checkpoint=lab.checkpoint.name,
                stack="",
                place="",
                strategy="",
                plan="",
                words=(),
                fingerprint=lab.fingerprint,
                verdict=verdict,
                measurement=measurement,
                run=self.run_folder.name,
            )
        )
        if verdict.status.red:
            lines = [_line(check) for check in sorted(verdict.checks, key=lambda c: not c.status.red)]
            if verdict.notes:
                lines.insert(0, f"{verdict.status.value}: {verdict.notes[-1]}")
            if judged.baseline is not None:
                lines.append(_changed_line(lab, judged.baseline))
            lines.append(f'accept with: pytest "{self.nodeid}" --dit-baseline-update=changed')
            pytest.fail("\n".join(lines), pytrace=False)


def _not_judged(judged: Judged, update: str | None) -> str:
    """Why nothing of this checkpoint can be held against stored values, or nothing."""
    if judged.incomparable:
        return judged.incomparable
    missing = judged.baseline is None and update is None
    return f"there is no {judged.target.name} for this checkpoint" if missing else ""


def _compare_control(lab: Laboratory, judged: Judged) -> Verdict:
    """The control's own figures against the baseline's."""
    measured = lab.control_measurement()
    stored = judged.baseline.control if judged.baseline else {}
    entries = {k: baselines.Entry(v, measured.prompts) for k, v in stored.items()}
    gated = [m for m in baselines.CONTROL_GATED if m in measured.summary]
    return baselines.compare(f"{lab.checkpoint.name}-control", measured.summary, entries, judged.tolerances, gated)


def _same_bits(verdict: Verdict, case: str, measured: Measurement, lab: Laboratory, judged: Judged) -> Verdict:
    if judged.baseline is None or not judged.exact:
        return verdict
    return bits.same_bits(verdict, case, measured.latents_sha256, lab.fingerprint, judged.baseline)


def _changed_line(lab: Laboratory, baseline: baselines.Baseline) -> str:
    changed = changes(baseline.facts, facts(lab.fingerprint))
    return "changed since the baseline: " + (", ".join(changed) or "nothing that is recorded")


def control_line(lab: Laboratory, judged: Judged) -> str:
    """Whether the control moved too (the library drifted) or only the variant (the ablation did)."""
    assert judged.baseline is not None
    if judged.baseline.facts.get("control_latents") == lab.control_measurement().latents_sha256:
        return "control: bit-identical, so the variant changed and not the model"
    moved = [c for c in _compare_control(lab, judged).checks if c.status.red and c.baseline is not None]
    if not moved:
        return "control: not bit-identical but within its tolerances, so it is the variant that changed"
    what = ", ".join(f"{c.metric} {c.baseline:.4g} -> {c.value:.4g}" for c in moved)
    return f"control: moved too ({what}), so look for a change of the model or the library first"


def _line(check: Check) -> str:
    """``harm  0.41 sd   baseline 0.22   limit 0.27 (+0.05, tolerances.toml "flux-*")``."""
    unit = UNITS.get(check.metric, "")
    value = f"{check.metric.replace('_', ' '):<15} {check.value:<8.4g} {unit:<3}"
    if check.baseline is None or check.tolerance is None:
        return f"{value} no baseline entry"
    stored = f"{value} baseline {check.baseline:<8.4g}"
    if not check.status.red:
        return f"{stored} ok"
    up = (check.status is Status.REGRESSION) != (check.metric in baselines.HIGHER_IS_BETTER)
    far = check.baseline + (check.tolerance if up else -check.tolerance)
    sign = "+" if up else "-"
    kind = "" if check.status is Status.REGRESSION else "  better than it was: stale, or not applied"
    return f"{stored} limit {far:.4g} ({sign}{check.tolerance:.2g}, {check.source}){kind}"
