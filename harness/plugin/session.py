"""A session with cases in it: its labs, its journal, its progress, and what is left at the end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.ablation.steps import split
from harness.errors import HarnessError
from harness.gates import baselines
from harness.gates.update import UpdateMode, update_cases
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
from harness.results.journal import Journal, latest, read
from harness.results.records import Record, from_json

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol
    from harness.plugin.fixtures.finding import FindingFixture
    from harness.plugin.fixtures.study import StudyFixture

# What a report carries from an xdist worker: a test's records, and where their baselines lie.
RECORDS, FOLDERS, FINDINGS = "dit_records", "dit_baselines", "dit_findings"
PROGRESS_SECONDS = 10.0


class Session:
    """State between the first test and the summary. Registers itself for pytest_runtest_logreport."""

    def __init__(self, config: pytest.Config, collection: Collection) -> None:
        self.config = config
        self.collection = collection
        self.options = collection.options
        self.is_worker = hasattr(config, "workerinput")
        self.is_controller = bool(getattr(config.option, "numprocesses", None)) and not self.is_worker
        # Every worker of one session writes its images into the controller's run folder.
        run_id = config.workerinput["dit_run_id"] if self.is_worker else self.options.run_id  # type: ignore[attr-defined]
        self.folder = self.options.reports / run_id
        threads = self.options.threads
        if self.is_worker and threads is None:
            # Workers that each take all cores wait for each other's threads: 20 times slower with two on two cores.
            threads = max(1, (os.cpu_count() or 1) // config.workerinput["workercount"])  # type: ignore[attr-defined]
        self.labs = Labs(self.options, threads)
        self.broken = self.trouble = ""  # why no lab can be opened; what went wrong at the end
        self.journal: Journal | None = None
        self.written: list[Path] = []
        self._records: dict[str, list[Record]] = {}  # by nodeid, until the report takes them along
        self._received: list[Record] = []
        self._folders: dict[str, str] = {}
        self.analyses = AnalysisSession(
            labs=self.labs,
            collection=self.collection,
            folder=self.folder,
            worker=config.workerinput["workerid"] if self.is_worker else "",  # type: ignore[attr-defined]
            update=self.options.update,
        )
        self._done = 0
        self._began = self._said = 0.0

    def prepare(self) -> None:
        """Open journal and labs. Raises HarnessError with one line for whatever can't be used."""
        self.config.pluginmanager.register(self, "harness.plugin.session")
        _ = self.labs.prompts
        if not self.is_worker:
            self.journal = Journal(self.folder)
        if not self.is_controller:
            for name in dict.fromkeys(self.collection.owners[key] for key in self.collection.wanted):
                for note in self.lab(self.collection.checkpoints[name]).notes:
                    self._say(f"{name}: {note}")

    def lab(self, checkpoint: Checkpoint) -> LabProtocol:
        """The lab of a checkpoint, opened when first asked for. Raises HarnessError."""
        if self.broken:
            raise HarnessError(self.broken)
        return self.labs.lab(checkpoint, self.collection.baselines[checkpoint.name])

    def ablation(self, request: pytest.FixtureRequest) -> AblationFixture:
        """The `ablation` fixture of a test's parameter. Raises HarnessError where its lab can't be opened."""
        case = self.collection.cases[request.param]
        return AblationFixture(
            case=case,
            lab=self.lab(self.collection.checkpoints[case.checkpoint]),
            reference=self.labs.references[case.checkpoint],
            nodeid=request.node.nodeid,
            run_folder=self.folder,
            rounds=self.options.rounds,
            update=self.options.update,
            records=self._records.setdefault(request.node.nodeid, []),
        )

    def control(self, request: pytest.FixtureRequest) -> ControlFixture:
        """The `control` fixture of a test's parameter. Raises HarnessError where its lab can't be opened."""
        name = self.collection.owners[request.param]
        return ControlFixture(
            lab=self.lab(self.collection.checkpoints[name]),
            reference=self.labs.references[name],
            nodeid=request.node.nodeid,
            run_folder=self.folder,
            update=self.options.update,
            records=self._records.setdefault(request.node.nodeid, []),
        )

    def study(self, request: pytest.FixtureRequest) -> StudyFixture:
        """The `study` fixture of a test's parameter. Raises HarnessError where its lab can't be opened."""
        name = self.collection.owners[request.param]
        return self.analyses.study_fixture(self.lab(self.collection.checkpoints[name]), request.node.nodeid)

    def finding(self, request: pytest.FixtureRequest) -> FindingFixture:
        """The `finding` fixture of a test's parameter. Raises HarnessError where its lab can't be opened."""
        name, claim = self.collection.owners[request.param], self.collection.claims[request.param]
        return self.analyses.finding_fixture(claim, self.lab(self.collection.checkpoints[name]), request.node.nodeid)

    def attach(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Send a test's records along with its report, which crosses from an xdist worker by itself."""
        records = self._records.pop(item.nodeid, [])
        setattr(report, RECORDS, [record.to_json() for record in records])
        setattr(report, FINDINGS, self.analyses.taken(item.nodeid))
        setattr(report, FOLDERS, {r.checkpoint: str(self.collection.baselines[r.checkpoint]) for r in records})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the controller (or the only process): write the journal, and say how far it is."""
        if self.is_worker or report.when != "call":
            return
        for data in getattr(report, RECORDS, []):
            assert self.journal is not None
            self.journal.append(data)
            self._received.append(from_json(data))
        self._folders |= getattr(report, FOLDERS, {})
        self.analyses.receive(getattr(report, FINDINGS, []))
        self._done += 1
        now = time.monotonic()
        if self._done == 1:
            # The first test pays for the control, which says nothing of the pace.
            self._began = self._said = now
        left = len(self.collection.wanted) - self._done
        if now - self._said >= PROGRESS_SECONDS and left > 0:
            self._said = now
            seconds = (now - self._began) / (self._done - 1) * left
            self._say(f"{self._done} of {len(self.collection.wanted)} tests, about {seconds:.0f} s left")

    def finish(self) -> None:
        """Close the journal, write the baselines that were asked for, and draw the figures."""
        if self.journal is not None:
            self.journal.close()
            if self.options.update is not None:
                self._update(self.options.update)
            if self.options.calibrate is not None and self._received:
                self._calibrate(self.options.calibrate)
        self.analyses.draw()

    def _calibrate(self, count: int) -> None:
        """Run the same cases under perturbations and keep the noise floors. Raises HarnessError."""
        reference = latest(self._received)
        names = list(dict.fromkeys(r.checkpoint for r in reference))
        labs = [self.lab(self.collection.checkpoints[name]) for name in names]
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
            judged = self.labs.references[name]
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

    def _update(self, mode: UpdateMode) -> None:
        """Bring each checkpoint's file up to what this run measured; values of cases that did not run stay."""
        received = latest(self._received)
        for folder in dict.fromkeys(self._folders.values()):
            own = [record for record in received if self._folders[record.checkpoint] == folder]
            self.written += update_cases(Path(folder), own, mode)

    def print_ranking(self, reporter: pytest.TerminalReporter) -> None:
        """The last thing on the screen: the ranked table and the findings, and where the reports lie."""
        if self.is_worker:
            return
        reporter.ensure_newline()
        written = [*self._ranking(reporter), *self.analyses.conclude(reporter, self.config), *self.written]
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
        from harness.report.ranking_files import write_ranking
        from harness.report.ranking_terminal import render

        # From the folder, so that a run that goes on under the same id ranks all of it.
        records = read(self.folder)
        writer = self.config.get_terminal_writer()
        reporter.write(render(records, writer.fullwidth, writer.hasmarkup), flush=True)
        return list(write_ranking(self.folder, records))

    def _unasked(self) -> dict[str, list[str]]:
        """Stored cases that this session didn't even collect (before -k), where it collected the file's own grid."""
        options = self.options
        if options.grid or options.plans or options.checkpoint or options.windows or options.groups:
            return {}
        asked = {case.checkpoint for case in self.collection.cases.values()}
        references = self.labs.references.items()
        stored = {n: r.baseline.cases for n, r in references if r.baseline is not None and n in asked}
        # A window of steps is stored by whoever wants it, and no file asks for one by itself.
        whole = {name: {case for case in cases if split(case)[1] is None} for name, cases in stored.items()}
        unasked = {name: sorted(cases - set(self.collection.cases)) for name, cases in whole.items()}
        return {name: ids for name, ids in unasked.items() if ids}
