"""A session with cases in it: its labs, its journal, its progress, and what is left at the end."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.ablation.steps import split
from harness.errors import HarnessError
from harness.gates import baselines
from harness.gates.update import remember, store
from harness.gates.validation import calibration
from harness.gates.validation.perturbations import choose
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.environment import processor
from harness.plugin.analysis_session import AnalysisSession
from harness.plugin.collection import Collection
from harness.plugin.fixtures.ablation import AblationFixture
from harness.plugin.fixtures.control import ControlFixture
from harness.plugin.header import _relative
from harness.plugin.labs import Labs
from harness.results.fingerprint import facts
from harness.results.journal import Journal, latest, read
from harness.results.records import Record, Status, from_json

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol
    from harness.plugin.fixtures.finding import FindingFixture
    from harness.plugin.fixtures.study import StudyFixture

# What a report carries from an xdist worker: a test's records, and where their baselines lie.
RECORDS, FOLDERS, FINDINGS = "dit_records", "dit_baselines", "dit_findings"
PROGRESS_SECONDS = 10.0


class Session:
    """State between the first test and the summary. Registers itself for pytest_runtest_logreport."""

    def __init__(self, config: pytest.Config, collecting: Collection) -> None:
        self.config = config
        self.collecting = collecting
        self.options = collecting.options
        self.is_worker = hasattr(config, "workerinput")
        self.is_controller = bool(getattr(config.option, "numprocesses", None)) and not self.is_worker
        # Every worker of one session writes its images into the controller's run folder.
        run_id = config.workerinput["dit_run_id"] if self.is_worker else self.options.run_id  # type: ignore[attr-defined]
        self.folder = self.options.reports / run_id
        options = self.options
        threads = options.threads
        if self.is_worker and threads is None:
            # Workers that each take all cores wait for each other's threads: 20 times slower with two on two cores.
            threads = max(1, (os.cpu_count() or 1) // config.workerinput["workercount"])  # type: ignore[attr-defined]
        self.bench = Labs(
            options.device,
            options.prompts,
            threads,
            options.update is not None,
            options.offload,
            judge=options.judge,
            metrics=options.metrics,
            perturbations=options.perturbations,
        )
        self.broken = self.trouble = ""  # why no lab can be opened; what went wrong at the end
        self.journal: Journal | None = None
        self.written: list[Path] = []
        self._records: dict[str, list[Record]] = {}  # by nodeid, until the report takes them along
        self._received: list[Record] = []
        self._folders: dict[str, str] = {}
        self.inquiries = AnalysisSession(self)
        self._done = 0
        self._began = self._said = 0.0

    def prepare(self) -> None:
        """Open journal and labs. Raises HarnessError with one line for whatever can't be used."""
        self.config.pluginmanager.register(self, "harness.plugin.session")
        _ = self.bench.prompts
        if not self.is_worker:
            self.journal = Journal(self.folder)
        if not self.is_controller:
            for name in dict.fromkeys(self.collecting.owners[key] for key in self.collecting.wanted):
                for note in self.lab(self.collecting.checkpoints[name]).notes:
                    self._say(f"{name}: {note}")

    def lab(self, checkpoint: Checkpoint) -> LabProtocol:
        """The lab of a checkpoint, opened when first asked for. Raises HarnessError."""
        if self.broken:
            raise HarnessError(self.broken)
        return self.bench.lab(checkpoint, self.collecting.baselines[checkpoint.name])

    def trial(self, request: pytest.FixtureRequest) -> AblationFixture:
        """The Trial of a test's parameter. Raises HarnessError where its lab can't be opened."""
        case = self.collecting.cases[request.param]
        return AblationFixture(
            case=case,
            lab=self.lab(self.collecting.checkpoints[case.checkpoint]),
            judged=self.bench.judged[case.checkpoint],
            nodeid=request.node.nodeid,
            run_folder=self.folder,
            rounds=self.options.rounds,
            update=self.options.update,
            records=self._records.setdefault(request.node.nodeid, []),
        )

    def control(self, request: pytest.FixtureRequest) -> ControlFixture:
        """The ControlTrial of a test's parameter. Raises HarnessError where its lab can't be opened."""
        name = self.collecting.owners[request.param]
        return ControlFixture(
            lab=self.lab(self.collecting.checkpoints[name]),
            judged=self.bench.judged[name],
            nodeid=request.node.nodeid,
            run_folder=self.folder,
            update=self.options.update,
            records=self._records.setdefault(request.node.nodeid, []),
        )

    def inquiry(self, request: pytest.FixtureRequest) -> StudyFixture:
        """The layer analysis of a test's checkpoint. Raises HarnessError where its lab can't be opened."""
        return self.inquiries.inquiry(self.collecting.owners[request.param], request.node.nodeid)

    def claim(self, request: pytest.FixtureRequest) -> FindingFixture:
        """The claim of a test's parameter. Raises HarnessError where its lab can't be opened."""
        name = self.collecting.owners[request.param]
        return self.inquiries.claim(self.collecting.claims[request.param], name, request.node.nodeid)

    def attach(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Send a test's records along with its report, which crosses from an xdist worker by itself."""
        records = self._records.pop(item.nodeid, [])
        setattr(report, RECORDS, [record.to_json() for record in records])
        setattr(report, FINDINGS, self.inquiries.taken(item.nodeid))
        setattr(report, FOLDERS, {r.checkpoint: str(self.collecting.baselines[r.checkpoint]) for r in records})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the controller (or the only process): write the journal, and say how far it is."""
        if self.is_worker or report.when != "call":
            return
        for data in getattr(report, RECORDS, []):
            assert self.journal is not None
            self.journal.append(data)
            self._received.append(from_json(data))
        self._folders |= getattr(report, FOLDERS, {})
        self.inquiries.receive(getattr(report, FINDINGS, []))
        self._done += 1
        now = time.monotonic()
        if self._done == 1:
            # The first test pays for the control, which says nothing of the pace.
            self._began = self._said = now
        left = len(self.collecting.wanted) - self._done
        if now - self._said >= PROGRESS_SECONDS and left > 0:
            self._said = now
            seconds = (now - self._began) / (self._done - 1) * left
            self._say(f"{self._done} of {len(self.collecting.wanted)} tests, about {seconds:.0f} s left")

    def finish(self) -> None:
        """Close the journal, write the baselines that were asked for, and draw the figures."""
        if self.journal is not None:
            self.journal.close()
            if self.options.update is not None:
                self._update(self.options.update)
            if self.options.calibrate is not None and self._received:
                self._calibrate(self.options.calibrate)
        self.inquiries.draw()

    def _calibrate(self, count: int) -> None:
        """Run the same cases under perturbations and keep the noise floors. Raises HarnessError."""
        reference = latest(self._received)
        names = list(dict.fromkeys(r.checkpoint for r in reference))
        labs = [self.bench.labs[name] for name in names]
        for name in names:
            calibration.check(reference, name)
        size = min(lab.checkpoint.settings.batch for lab in labs)
        chosen = choose(count, os.cpu_count() or 1, size, labs[0].fingerprint.capability)
        given = [str(argument) for argument in self.config.invocation_params.args]
        runs: dict[str, list[Record]] = {}
        for number, perturbation in enumerate(chosen, start=1):
            self._say(f"calibrating, run {number} of {count}: {perturbation}")
            runs[str(perturbation)] = calibration.run(
                given, perturbation, self.folder, self.config.invocation_params.dir
            )
        where = processor(labs[0].device)
        for name in names:
            judged = self.bench.judged[name]
            assert judged.baseline is not None  # check() has seen a verdict
            found = calibration.calibrate(judged.baseline, reference, runs, judged.tolerances, where)
            baselines.save(judged.baseline)
            self.written.append(judged.baseline.path)
            for metric in found:
                capped = f"; noisier than tolerances.toml allows: {', '.join(metric.capped)}" if metric.capped else ""
                self._say(
                    f"{name}: {metric.metric} of {metric.cases} cases moves by at most {metric.max_t:.3g} scales; "
                    f"median tolerance {metric.median_tolerance:.3g}{capped}"
                )

    def _say(self, line: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(f"  {line}")

    def _update(self, mode: str) -> None:
        """Bring each checkpoint's file up to what this run measured; values of cases that did not run stay."""
        received = latest(self._received)
        for name in dict.fromkeys(r.checkpoint for r in received):
            mine = [r for r in received if r.checkpoint == name]
            fingerprint = mine[0].fingerprint
            path = Path(self._folders[name]) / name / f"{fingerprint.device}-{fingerprint.dtype}.json"
            if path.exists():
                baseline = baselines.load(path, name)
            else:
                baseline = baselines.Baseline(path, name, fingerprint.device, fingerprint.dtype)
            changed = [_store(baseline, record, mode) for record in mine]
            if any(changed):
                baselines.save(baseline)
                self.written.append(path)

    def print_ranking(self, reporter: pytest.TerminalReporter) -> None:
        """The last thing on the screen: the ranked table and the findings, and where the reports lie."""
        if self.is_worker:
            return
        reporter.ensure_newline()
        written = [*self._ranking(reporter), *self.inquiries.conclude(reporter), *self.written]
        for path in written:
            reporter.write_line(f"wrote {_relative(path, self.config.invocation_params.dir)}")
        if self.trouble:
            reporter.write_line(f"error: {self.trouble}", red=True)
        for name, unasked in self._unasked().items() if self._received else ():
            reporter.write_line(
                f"baseline of {name}: {len(unasked)} entries that no collected case asks for: {unasked}"
            )

    def _ranking(self, reporter: pytest.TerminalReporter) -> list[Path]:
        if not self._received:
            return []
        from harness.report import write
        from harness.report.ranking_terminal import render

        # From the folder, so that a run that goes on under the same id ranks all of it.
        records = read(self.folder)
        writer = self.config.get_terminal_writer()
        reporter.write(render(records, writer.fullwidth, writer.hasmarkup), flush=True)
        return list(write(self.folder, records))

    def _unasked(self) -> dict[str, list[str]]:
        """Stored cases that this session didn't even collect (before -k), where it collected the file's own grid."""
        options = self.options
        if options.grid or options.plans or options.checkpoint or options.windows or options.groups:
            return {}
        asked = {case.checkpoint for case in self.collecting.cases.values()}
        stored = {n: j.baseline.cases for n, j in self.bench.judged.items() if j.baseline is not None and n in asked}
        # A window of steps is stored by whoever wants it, and no file asks for one by itself.
        whole = {name: {case for case in cases if split(case)[1] is None} for name, cases in stored.items()}
        unasked = {name: sorted(cases - set(self.collecting.cases)) for name, cases in whole.items()}
        return {name: ids for name, ids in unasked.items() if ids}


def _store(baseline: baselines.Baseline, record: Record, mode: str) -> bool:
    latents = record.measurement.latents_sha256 if record.measurement else ""
    if record.kind == "control" and record.measurement is not None:
        kept = remember(baseline, record.case, latents, record.fingerprint, mode)
        if baseline.control is not None and mode == "missing":
            return kept
        # The unit of harm is never re-estimated: it would rescale every stored harm.
        fresh = baselines.ControlFigures.of(record.measurement.summary)
        unit = fresh.seed_sd if baseline.control is None else baseline.control.seed_sd
        baseline.control = replace(fresh, seed_sd=unit)
        baseline.facts = facts(record.fingerprint, record.measurement.latents_sha256)
        return True
    values = dict(record.measurement.summary) if record.measurement else {}
    n = record.measurement.n if record.measurement else 0
    moving = record.fingerprint.offload == "group"  # then a forward's time is that of moving weights
    if record.latency is not None and record.fingerprint.device != "cpu" and not moving:
        values["relative_time"] = 1.0 / record.latency.ratio
        n = len(record.latency.variant)
    if not values or record.strategy.startswith("plan-") or record.verdict.status is Status.NOTHING:
        return False
    if baseline.control is None:
        baseline.control = baselines.ControlFigures(values["seed_sd"])
        baseline.facts = facts(record.fingerprint)
    stored = store(baseline, record.case, values, n, record.verdict, mode)
    return remember(baseline, record.case, latents, record.fingerprint, mode) or stored
