"""What an analysis test holds in its hands: one study, its reports, and the stored values that it is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import baselines, groups
from harness.baselines import Baseline, Entry
from harness.bench import Judged, changes, facts, incomparable
from harness.errors import BaselineError
from harness.files import write_atomically
from harness.records import Check, Status
from harness.trial import control_line

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.findings.claim import Claim

ANALYSIS = "analysis"  # the folder of a checkpoint's stored figures, and of a run's reports
PAGE = "analysis.md"


@dataclass
class Shown:
    """What has been measured of one study so far, for its page and its figures."""

    parts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    lines: list[str] = field(default_factory=list[str])  # for the terminal
    folder: Path | None = None

    def draw(self, name: str) -> None:
        """Write the figures of a checkpoint. Raises HarnessError where they can't be written."""
        from harness.report.figures import write_all

        if self.folder is not None:
            write_all(self.folder, name, **self.figures)


@dataclass
class Inquiry:
    """A study under test. Each ``check_...`` measures what it needs, draws it, and fails where it left its baseline.

    ``folder`` takes the page and the figures, which grow with every check of the same study. A figure without a file
    of stored ones is reported and not judged; ``update`` is that of ``--dit-baseline-update``.
    """

    study: Study
    judged: Judged
    shown: Shown
    nodeid: str
    folder: Path
    baselines: Path
    update: str | None

    @property
    def name(self) -> str:
        """The checkpoint's."""
        return self.study.lab.checkpoint.name

    def check_layers(self) -> None:
        """Similarity, influence and angular distance of every stream, on the trajectory and on noised images."""
        from harness import profiles
        from harness.analysis import digest
        from harness.report import analysed

        found = digest.layers(self.study)
        seen = {"trajectory": self.study.trajectory, "noised": self.study.noised}
        self.folder.mkdir(parents=True, exist_ok=True)
        for setting, profile in seen.items():
            profiles.write(profile, self.folder / f"{setting}.safetensors")
        self._show("layers", analysed.figures("Figures", found), **seen)
        self._hold(found)

    def check_groups(self) -> None:
        """The cut of every stack into first, middle and last, against ``groups.json``."""
        from harness.analysis import digest
        from harness.grouping import stored
        from harness.report import analysed

        found = digest.groupings(self.study)
        starts = {stack: g.starts for stack, g in found.items() if g.structure}
        self._show("groups", analysed.groups(found), groups=starts)
        self.shown.lines += [f"groups: {analysed.group_line(g)}" for g in found.values()]
        path = self.baselines / self.name / groups.FILE
        now = stored(self.study.trajectory, list(found.values()))
        before = groups.read(path, self.name) if path.exists() else None
        if before is not None:
            moved = [f"{s}: {_cut(before, s)} -> {_cut(now, s)}" for s in now.stacks if _cut(before, s) != _cut(now, s)]
            if moved and self.update not in ("changed", "all"):
                pytest.fail("\n".join([f"groups moved: {'; '.join(moved)}", *self._why(path)]), pytrace=False)
        if self.update is not None and (before is None or self.update != "missing"):
            groups.write(path, now)

    def check_velocity(self) -> None:
        """The velocity error of skipping each block at each denoising step."""
        from harness.analysis import digest
        from harness.report import analysed

        found = digest.velocities(self.study)
        self._show("velocity", analysed.figures("Velocity", found), velocities=self.study.velocities)
        self._hold(found)

    def check_predictors(self) -> None:
        """The harm of every single-block skip, and how each measure ranks the blocks against it."""
        from harness.analysis import digest
        from harness.report import analysed

        study = self.study
        found = digest.predictions(study)
        rho = {
            stack: {p.measure: p.correlation.rho for p in found if p.stack == stack and p.correlation.defined}
            for stack in study.stacks
        }
        pictured = {
            stack: {name: (values, rho[stack][name]) for name, values in digest.measures(study, stack).items()}
            for stack in study.stacks
            if len(rho[stack]) == len(digest.PREDICTORS)
        }
        self._show(
            "predictors",
            analysed.predictors(found, digest.PREDICTORS),
            harm={stack: digest.harms(study, stack) for stack in study.stacks},
            vitality={stack: digest.vitality(study, stack) for stack in study.stacks},
            predictors=pictured,
        )
        self.shown.lines += analysed.prediction_lines(found)
        self._hold({p.id: {"rho": p.correlation.rho.value} for p in found if p.correlation.defined})

    def check_additivity(self) -> None:
        """Skipping two blocks together against the sum of skipping each, for every pair of a stack."""
        from harness.analysis import digest
        from harness.report import analysed

        found = {stack: digest.interactions(self.study, stack) for stack, n in self.study.stacks.items() if n > 1}
        tables = {stack: (a.table, a.marks) for stack, a in found.items()}
        self._show("additivity", analysed.additivity(found), interactions=tables)
        self.shown.lines += [f"{stack}: {a}" for stack, a in found.items()]
        self._hold({f"{stack}-pairs": {"off": a.share} for stack, a in found.items()})

    def _show(self, name: str, page: list[str], **figures: Any) -> None:
        """Bring the page up to what has been measured; the figures are drawn at the end of the session."""
        from harness.report import analysed

        self.shown.parts[name] = page
        self.shown.figures |= figures
        setting = f"{len(self.study.lab.prompts)} prompts, {self.study.lab.checkpoint.settings.steps} steps."
        text = analysed.markdown(self.name, setting, list(self.shown.parts.values()))
        write_atomically(self.folder / PAGE, text)
        self.shown.folder = self.folder

    def _hold(self, found: Mapping[str, Mapping[str, float]]) -> None:
        """Hold figures against the stored ones, or store them. Raises BaselineError where the file can't be used."""
        fingerprint = self.study.lab.fingerprint
        folder = self.baselines / self.name
        target = folder / ANALYSIS / f"{fingerprint.device}-{fingerprint.dtype}.json"
        path, _ = baselines.choose_file(folder, ANALYSIS, fingerprint.device, fingerprint.dtype)
        stored = baselines.load(path, self.name) if path is not None else None
        if stored is not None and incomparable(stored.facts, facts(fingerprint)):
            stored = None
        known = {case: dict(stored.cases.get(f"{self.name}-{case}", {})) for case in found} if stored else {}
        red: list[str] = []
        for case, values in found.items():
            verdict = baselines.compare(
                f"{self.name}-{case}", values, known.get(case, {}), self.judged.tolerances, list(values)
            )
            red += [_line(case, c) for c in verdict.checks if c.status.red] if stored is not None else []
        if self.update is not None:
            self._store(target, found)
        elif red and stored is not None:
            pytest.fail("\n".join([*red, *self._why(stored.path, stored)]), pytrace=False)

    def _store(self, target: Path, found: Mapping[str, Mapping[str, float]]) -> None:
        """Write figures as the mode allows: what is missing, or all that this check measured."""
        fingerprint = self.study.lab.fingerprint
        if target.exists():
            made = baselines.load(target, self.name)
            if other := incomparable(made.facts, facts(fingerprint)):
                raise BaselineError(f"{target} is not updated: this run is {other}; use the same, or move it away")
        else:
            made = Baseline(target, self.name, fingerprint.device, fingerprint.dtype)
        made.facts = facts(fingerprint)
        made.control = {"seed_sd": self.study.lab.seed_sd}
        count = len(self.study.lab.prompts)
        for case, values in found.items():
            kept = made.cases.get(f"{self.name}-{case}", {}) if self.update == "missing" else {}
            fresh = {metric: Entry(baselines.rounded(value), count) for metric, value in values.items()}
            made.cases[f"{self.name}-{case}"] = fresh | kept
        baselines.save(made)

    def _why(self, path: Path, stored: Baseline | None = None) -> list[str]:
        lab = self.study.lab
        lines = [f"stored in {path}"]
        if stored is not None:
            changed = changes(stored.facts, facts(lab.fingerprint))
            lines.append("changed since: " + (", ".join(changed) or "nothing that is recorded"))
        if self.judged.baseline is not None:
            lines.append(control_line(lab, self.judged))
        return [*lines, f'accept with: pytest "{self.nodeid}" --dit-baseline-update=changed']


def _cut(found: groups.Groups, stack: str) -> str:
    own = found.stacks.get(stack)
    if own is None:
        return "not there"
    return f"blocks {', '.join(map(str, own.starts))}" if own.structure else "no block structure"


def _line(case: str, check: Check) -> str:
    if check.status is Status.MISSING or check.baseline is None or check.tolerance is None:
        return f"{case} {check.metric}: {check.value:.4g}, no entry"
    allowed = f"+-{check.tolerance:.2g}, {check.source}"
    return f"{case} {check.metric}: {check.value:.4g}, stored {check.baseline:.4g} ({allowed})"


@dataclass
class ClaimTrial:
    """A published claim under test: ``check()`` gives its verdict, and fails where another one is stored."""

    claim: Claim
    study: Study
    nodeid: str
    baselines: Path
    update: str | None
    found: list[dict[str, Any]]

    def check(self) -> None:
        """Measure what the claim needs and record the finding; skip where it is not about this model.

        Raises what the lab and the claim raise.
        """
        from harness.findings.claim import Verdict, judge
        from harness.findings.stored import check, load, save, update

        finding = judge(self.claim, self.study)
        self.found.append(finding.to_json())
        stored = load(self.baselines, finding.checkpoint)
        if self.update is not None:
            if update(stored, finding, self.update):
                save(stored)
        elif message := check(finding, stored):
            accept = f'accept with: pytest "{self.nodeid}" --dit-baseline-update=changed'
            pytest.fail(f"{message}\n{accept}", pytrace=False)
        if finding.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(f"not applicable: {finding.reason}")
