"""The analyses and claims of a session: one study a checkpoint, and what is left of them at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.files import write_atomically
from harness.findings.catalogue import load
from harness.gates.update import UpdateMode
from harness.plugin.collection import Collection
from harness.plugin.fixtures.finding import FindingFixture
from harness.plugin.fixtures.study import ANALYSIS, PAGE, AnalysisPage, StudyFixture
from harness.plugin.labs import Labs

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.findings.catalogue import ClaimReference
    from harness.findings.claim import Claim
    from harness.lab.protocol import LabProtocol

FINDINGS = "findings"


@dataclass
class AnalysisSession:
    """Opens a study when a test first asks for it, and keeps it for the tests after.

    ``folder`` is the run's, ``worker`` the name of this xdist worker, empty in the only process.
    """

    labs: Labs
    collection: Collection
    folder: Path
    worker: str
    update: UpdateMode | None
    pages: dict[str, AnalysisPage] = field(default_factory=dict[str, AnalysisPage])
    _studies: dict[str, Study] = field(default_factory=dict)
    _findings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by nodeid, until the report takes them
    _received: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def study(self, lab: LabProtocol) -> Study:
        """The study of a lab. Skips the test where the lab makes no images."""
        # These load torch, which the collection of cases does without.
        from harness.analysis.study import Study
        from harness.lab.lab import Lab

        if not isinstance(lab, Lab):
            pytest.skip(lab.no_images_reason)
        return self._studies.setdefault(lab.checkpoint.name, Study(lab))

    def study_fixture(self, lab: LabProtocol, nodeid: str) -> StudyFixture:
        """The layer analysis of a lab's checkpoint, under test."""
        name = lab.checkpoint.name
        # Tests of one study add to the same page; workers of one session must not write into each other's.
        worker = f"-{self.worker}" if self.worker else ""
        return StudyFixture(
            study=self.study(lab),
            reference=self.labs.references[name],
            page=self.pages.setdefault(name, AnalysisPage()),
            nodeid=nodeid,
            folder=self.folder / ANALYSIS / f"{name}{worker}",
            baselines=self.collection.baselines[name],
            update=self._update(),
        )

    def finding_fixture(self, claim: Claim | ClaimReference, lab: LabProtocol, nodeid: str) -> FindingFixture:
        """A published claim on a lab's checkpoint, under test."""
        return FindingFixture(
            claim=load(claim),
            study=self.study(lab),
            nodeid=nodeid,
            baselines=self.collection.baselines[lab.checkpoint.name],
            update=self._update(),
            found=self._findings.setdefault(nodeid, []),
        )

    def _update(self) -> UpdateMode | None:
        if self.update is not None and self.worker:
            pytest.fail(
                "analyses are stored by one process, since their tests write the same files: leave out -n",
                pytrace=False,
            )
        return self.update

    def taken(self, nodeid: str) -> list[dict[str, Any]]:
        """The findings of a test, for its report to carry."""
        return self._findings.pop(nodeid, [])

    def receive(self, found: list[dict[str, Any]]) -> None:
        """Findings that came with a report."""
        self._received += found

    def draw(self) -> None:
        """Write the figures of every study. Raises HarnessError where they can't be written."""
        for name, page in self.pages.items():
            page.draw(name)

    def conclude(self, reporter: pytest.TerminalReporter, config: pytest.Config) -> list[Path]:
        """Print what the analyses came to and the table of findings; the files that hold them."""
        from harness.findings.claim import from_json
        from harness.report.findings_page import markdown, render

        for name, page in self.pages.items():
            for line in page.lines:
                reporter.write_line(f"{name}: {line}")
        written = sorted(self.folder.glob(f"{ANALYSIS}/*/{PAGE}"))
        if self._received:
            found = [from_json(data) for data in self._received]
            writer = config.get_terminal_writer()
            reporter.write(render(found, writer.fullwidth, writer.hasmarkup), flush=True)
            lines = [json.dumps(data, sort_keys=True) for data in self._received]
            for suffix, text in ((".md", markdown(found)), (".jsonl", "\n".join([*lines, ""]))):
                path = self.folder / f"{FINDINGS}{suffix}"
                write_atomically(path, text)
                written.append(path)
        return written
