"""The analyses and claims of a session: one study a checkpoint, and what is left of them at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.files import write_atomically
from harness.findings.catalogue import load
from harness.plugin.fixtures.finding import FindingFixture
from harness.plugin.fixtures.study import ANALYSIS, PAGE, AnalysisPage, StudyFixture

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.findings.catalogue import ClaimReference
    from harness.findings.claim import Claim
    from harness.plugin.session import Session

FINDINGS = "findings"


class AnalysisSession:
    """Opens a study when a test first asks for it, and keeps it for the tests after."""

    def __init__(self, running: Session) -> None:
        self.running = running
        self.shown: dict[str, AnalysisPage] = {}
        self._studies: dict[str, Study] = {}
        self._found: dict[str, list[dict[str, Any]]] = {}  # by nodeid, until the report takes them along
        self._received: list[dict[str, Any]] = []

    def study(self, name: str) -> Study:
        """The study of a checkpoint. Skips the test where there are no images, raises HarnessError where it can't."""
        from harness.analysis.study import Study
        from harness.lab.lab import Lab

        if name not in self._studies:
            lab = self.running.lab(self.running.collecting.checkpoints[name])
            if not isinstance(lab, Lab):
                pytest.skip(lab.no_images_reason)
            self._studies[name] = Study(lab)
        return self._studies[name]

    def inquiry(self, name: str, nodeid: str) -> StudyFixture:
        """The layer analysis of a checkpoint, under test."""
        running = self.running
        # Tests of one study add to the same page; workers of one session must not write into each other's.
        worker = f"-{running.config.workerinput['workerid']}" if running.is_worker else ""  # type: ignore[attr-defined]
        return StudyFixture(
            study=self.study(name),
            judged=running.bench.judged[name],
            shown=self.shown.setdefault(name, AnalysisPage()),
            nodeid=nodeid,
            folder=running.folder / ANALYSIS / f"{name}{worker}",
            baselines=running.collecting.baselines[name],
            update=self._update(),
        )

    def claim(self, claim: Claim | ClaimReference, name: str, nodeid: str) -> FindingFixture:
        """A published claim on a checkpoint, under test."""
        return FindingFixture(
            claim=load(claim),
            study=self.study(name),
            nodeid=nodeid,
            baselines=self.running.collecting.baselines[name],
            update=self._update(),
            found=self._found.setdefault(nodeid, []),
        )

    def _update(self) -> str | None:
        update = self.running.options.update
        if update is not None and self.running.is_worker:
            pytest.fail(
                "analyses are stored by one process, since their tests write the same files: leave out -n",
                pytrace=False,
            )
        return update

    def taken(self, nodeid: str) -> list[dict[str, Any]]:
        """The findings of a test, for its report to carry."""
        return self._found.pop(nodeid, [])

    def receive(self, found: list[dict[str, Any]]) -> None:
        """Findings that came with a report."""
        self._received += found

    def draw(self) -> None:
        """Write the figures of every study. Raises HarnessError where they can't be written."""
        for name, shown in self.shown.items():
            shown.draw(name)

    def conclude(self, reporter: pytest.TerminalReporter) -> list[Path]:
        """Print what the analyses came to and the table of findings; the files that hold them."""
        from harness.findings.claim import from_json
        from harness.report.findings_page import markdown, render

        for name, shown in self.shown.items():
            for line in shown.lines:
                reporter.write_line(f"{name}: {line}")
        folder = self.running.folder
        written = sorted(folder.glob(f"{ANALYSIS}/*/{PAGE}"))
        if self._received:
            found = [from_json(data) for data in self._received]
            writer = self.running.config.get_terminal_writer()
            reporter.write(render(found, writer.fullwidth, writer.hasmarkup), flush=True)
            lines = [json.dumps(data, sort_keys=True) for data in self._received]
            for suffix, text in ((".md", markdown(found)), (".jsonl", "\n".join([*lines, ""]))):
                path = folder / f"{FINDINGS}{suffix}"
                write_atomically(path, text)
                written.append(path)
        return written
