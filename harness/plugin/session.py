"""The life of a session with cases in it: its labs, its fixtures, its journal, and what it leaves at the end."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, HarnessError, JournalError, OptionError
from harness.gates.update import UpdateMode, update_cases
from harness.gates.validation import calibration
from harness.interrupts import without_options
from harness.lab.budget import Account
from harness.loggers.base import Loggers
from harness.plugin import summary, transport, workers
from harness.plugin.adaptive_session import AdaptiveSession, check_budget
from harness.plugin.analysis_session import AnalysisSession
from harness.plugin.collection import Collection, fixtures_of, is_timed
from harness.plugin.earlier import Earlier
from harness.plugin.fixtures.ablation import AblationFixture
from harness.plugin.fixtures.control import ControlFixture
from harness.plugin.labs import Labs
from harness.plugin.parameters import Parameter
from harness.plugin.progress import Progress
from harness.plugin.progress_bar import BarPlugin
from harness.plugin.progress_bar import register as register_bar
from harness.plugin.raised import error_line, with_error
from harness.report.text import counted
from harness.results.journal import Journal, check_place, latest, read
from harness.results.records import Kind, Record, from_json


class Session:
    """State between the first test and the summary. Registers itself for pytest_runtest_logreport.

    Under pytest-xdist there is one in each process: the workers' make fixtures, the controller's writes and prints.
    """

    def __init__(self, session: pytest.Session, collection: Collection) -> None:
        self._session = session
        self.config = config = session.config
        self.collection = collection
        self.options = collection.options
        self.process = workers.Process.of(config, self.options.run_id)
        self.folder = self.options.reports / self.process.run_id
        self.labs = Labs(self.options, self.process.threads(self.options.threads))
        self.analyses = AnalysisSession(self.labs, self.folder, self.process.worker, self.options.update)
        self.problems: list[str] = []  # what could not be read or written, for the summary
        self._progress = Progress()
        self._bar: BarPlugin | None = None
        self._whole = True  # whether the run ended by itself
        self._journal: Journal | None = None
        self._records: list[Record] = []
        self._findings: list[dict[str, Any]] = []
        self._baselines: dict[str, str] = {}  # folders by checkpoint
        self._written: list[Path] = []
        self._said: set[tuple[str, str]] = set()  # remarks of labs
        self.earlier = Earlier()
        self._adaptive: AdaptiveSession | None = None
        self._loggers: Loggers | None = None
        self._skipped: Counter[str] = Counter()  # tests by the reason

    def prepare(self) -> None:
        """Open journal and labs. Raises HarnessError with one line for whatever can't be used.

        A run that can't begin leaves no folder.
        """
        self.config.pluginmanager.register(self, "harness.plugin.session")
        self._bar = register_bar(self.config, self._tests)
        try:
            self._open()
        except HarnessError:
            if self._journal is not None:
                self._journal.withdraw()
            raise

    def _open(self) -> None:
        if self.config.getoption("forked", False):
            raise OptionError("--forked: torch's threads don't survive a fork, so every case would die; leave it out")
        _ = self.labs.prompts, self.labs.pictures
        if self.process.worker:
            check_place(self.folder)  # the controller can end the run with exit code 4 only before the first test
        else:
            self._journal = Journal(self.folder, self.options.shard)
            for note in self._journal.notes:
                self._say(note)
            self._loggers = Loggers(self.options.trackers, self.process.run_id, self.folder, self._say)
        if self.options.resume:
            self.earlier = Earlier.of(read(self.folder, left_out=self._say))
        self.labs.tested_controls = self.collection.tested_controls
        check_budget(self.options, self.collection)
        for target in self.collection.targets:  # none in the controller of pytest-xdist
            opened = self.labs.open(target)
            self.earlier.check(self.process.run_id, opened.lab.fingerprint)
            for note in opened.reference.lines():
                self._say(f"{target.name}: {note}")
            self._say_notes()
        if self.options.adaptive:
            account = None if self.options.budget is None else Account(self.options.budget)
            self._adaptive = AdaptiveSession(
                self.collection, self.earlier, self.folder.name, self._append, self._say_in_test, account
            )
        if self.options.calibrate is not None and self.labs.opened:
            labs = [opened.lab for opened in self.labs.opened.values()]
            calibration.perturbations_for(self.options.calibrate, labs)  # refuses too many now, not after the run

    def ablation(self, parameter: Parameter, item: pytest.Item) -> AblationFixture:
        """The `ablation` fixture of a test. Raises HarnessError where its lab can't be opened."""
        assert parameter.case is not None  # parameters() gives a test that takes `ablation` nothing else
        opened = self.labs.open(parameter.target)
        return AblationFixture(
            case=parameter.case,
            lab=opened.lab,
            reference=opened.reference,
            nodeid=item.nodeid,
            run_folder=self.folder,
            rounds=self.options.rounds,
            update=self.options.update,
            records=transport.output_of(item).records,
            earlier=self.earlier,
            adaptive=self._adaptive,
            workers=self.process.workers,
        )

    def control(self, parameter: Parameter, item: pytest.Item) -> ControlFixture:
        """The `control` fixture of a test. Raises HarnessError where its lab can't be opened."""
        opened = self.labs.open(parameter.target)
        return ControlFixture(
            lab=opened.lab,
            reference=opened.reference,
            nodeid=item.nodeid,
            run_folder=self.folder,
            update=self.options.update,
            records=transport.output_of(item).records,
            earlier=self.earlier,
        )

    def record_error(self, parameter: Parameter, item: pytest.Item, error: BaseException) -> None:
        """Record that a test of a case or of the control raised, unless a red verdict is what made it fail.

        What the test measured before stays in its record. Nothing is recorded of a checkpoint without a lab.
        """
        opened = self.labs.opened.get(parameter.target.name)
        if opened is None or not {"ablation", "control"} & set(fixtures_of(item)):
            return
        output = transport.output_of(item)
        if any(record.verdict.status.red for record in output.records):
            return
        line = error_line(error, type_name=not isinstance(error, pytest.fail.Exception))
        output.records[:] = with_error(
            output.records,
            line,
            fingerprint=opened.lab.fingerprint,
            case=parameter.case,
            kind=Kind.LATENCY if is_timed(item) else Kind.QUALITY,
            test=getattr(item, "originalname", item.name),
            nodeid=item.nodeid,
            run=self.folder.name,
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the controller (or the only process): write the journal, and say how far the run is."""
        # What is raised before a test is reported then; after a test nothing is measured any more.
        if self.process.worker:
            return
        if report.when == "teardown":
            self._say_progress()
        if not (report.when == "call" or (report.when == "setup" and report.failed)):
            return
        data = transport.detach(report)
        # The table of findings says itself why one was skipped.
        if isinstance(report.longrepr, tuple) and transport.is_attached(report) and not data.findings:
            self._skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1
        for record in data.records:
            if not self.earlier.holds(record):
                self._append(record)
            try:
                self._records.append(from_json(record))
            except DataError as error:
                self.problem(f"{report.nodeid} is not ranked: {error}")
            else:
                if self._loggers is not None:
                    self._loggers.log(self._records[-1])
        self._findings += data.findings
        self._baselines |= data.baselines
        self._say_notes()

    def _tests(self) -> int:
        """How many tests the run has; the controller of pytest-xdist is told by its workers."""
        return self._session.testscollected

    def _say_progress(self) -> None:
        """Print how far the run is where no bar shows it, and a reader of the log may want to know."""
        line = self._progress.after_test(self._tests(), time.monotonic())
        if line and self._bar is None and self.config.get_verbosity() >= 0:
            self._say(line)

    def _say_notes(self) -> None:
        """Say what the labs remark on that was not said yet."""
        for name, opened in self.labs.opened.items():
            for note in opened.lab.notes:
                if (name, note) not in self._said:
                    self._said.add((name, note))
                    self._say(f"{name}: {note}")

    def _append(self, record: Record | dict[str, Any]) -> None:
        """Write a record into the journal; one that can't be written is ranked all the same."""
        try:
            if self._journal is not None:  # else why not is among the problems
                self._journal.append(record)
        except JournalError as error:
            self.problem(str(error))

    def problem(self, line: str) -> None:
        """Keep a line about what could not be read or written, once."""
        if line not in self.problems:
            self.problems.append(line)

    def finish(self, *, whole: bool) -> None:
        """Close the journal, update baselines and noise floors where that was asked for, and draw the figures.

        Noise floors are measured only of a run that ended by itself (``whole``). Raises HarnessError where one of them
        can't be done.
        """
        self._whole = whole
        for line in self.analyses.problems():
            self.problem(line)
        for line in self.labs.cache.notes if self.labs.opened and self.labs.cache is not None else ():
            self.problem(line)
        if self._journal is not None:
            self._journal.close()
            if whole and self.options.shard.count > 1:
                self._journal.say_complete()
            if self.options.update is not None:
                self._update(self.options.update)
            if self.options.calibrate is not None and not whole:
                self.problem("no noise floors were measured, as the run was stopped")
            elif self.options.calibrate is not None and self._records:
                self._calibrate(self.options.calibrate)
        self.analyses.draw()

    def _update(self, mode: UpdateMode) -> None:
        records = latest(self._records)
        for folder in dict.fromkeys(self._baselines.values()):
            own = [record for record in records if self._baselines[record.checkpoint] == folder]
            self._written += update_cases(Path(folder), own, mode)

    def _calibrate(self, count: int) -> None:
        records = latest(self._records)
        opened = {name: self.labs.opened[name] for name in dict.fromkeys(r.checkpoint for r in records)}
        start = self.config.invocation_params
        self._written += calibration.calibrate(
            count,
            calibration.PytestRun([str(argument) for argument in start.args], self.folder, start.dir),
            records,
            {name: each.lab for name, each in opened.items()},
            {name: each.reference for name, each in opened.items()},
            self._say,
        )

    def _say_in_test(self, line: str) -> None:
        """Print a line while a test runs, whose output pytest captures."""
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        hidden = nullcontext() if self._bar is None else self._bar.hidden()
        with nullcontext() if capture is None else capture.global_and_fixture_disabled(), hidden:
            self._say(line)

    def _say(self, line: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(f"  {line}")

    def print_summary(self, reporter: pytest.TerminalReporter) -> None:
        """The last thing on the screen: the ranked table and the findings, and where the reports are."""
        if self.process.worker:
            return
        writer = self.config.get_terminal_writer()
        width, colour = writer.fullwidth, writer.hasmarkup
        reporter.ensure_newline()
        # Before the ranking, since the page of the run shows the findings, too.
        findings = summary.findings(self.folder, self._findings, width, colour, self.problem)
        ranking = summary.Section()
        if self._records or findings.files:
            columns = [*self.options.columns, *(text.partition("=")[0] for text in self.options.metrics)]
            ranking = summary.ranking(self.folder, self._records, width, colour, self.problem, columns)
        reporter.write(ranking.text, flush=True)
        for line in self.analyses.lines():
            reporter.write_line(line)
        reporter.write(findings.text, flush=True)
        if not set("saA") & set(self.config.option.reportchars):  # else pytest says so itself
            for reason, count in self._skipped.items():
                reporter.write_line(f"skipped {count}: {reason}")
        files = [*ranking.files, *self.analyses.written_pages(), *findings.files, *self._written]
        if self._loggers is not None:
            self._loggers.finish([*ranking.files, *findings.files])
        for line in summary.file_lines(files, self.config.invocation_params.dir):
            reporter.write_line(line)
        for line in self.problems:
            reporter.write_line(f"error: {line}", red=True)
        if self._records and self._whole:
            for line in self._unused_lines():
                reporter.write_line(line)
        if not self._whole:
            reporter.write_line(self._how_to_go_on(), yellow=True)

    def _how_to_go_on(self) -> str:
        """How far a run came that was stopped, and the command that measures the rest of it."""
        far = f"stopped after {self._progress.done} of {counted(self._tests(), 'test')}"
        if not (self.folder / self.options.shard.file).exists():
            return f"{far}; nothing was measured yet"
        arguments = without_options(self.config.invocation_params.args, ("--dit-run-id", "--dit-resume"))
        return f"{far}; go on with: {shlex.join(['pytest', *map(str, arguments), f'--dit-resume={self.folder.name}'])}"

    def _unused_lines(self) -> list[str]:
        opened = self.labs.opened.items()
        stored = {name: each.reference.baseline.cases for name, each in opened if each.reference.baseline is not None}
        collected: dict[str, set[str]] = {}
        for parameter in self.collection.parameters.values():
            if parameter.case is not None:
                collected.setdefault(parameter.target.name, set()).add(parameter.case.id)
        return summary.unused_lines(stored, collected, self.options)
