"""The page of a checkpoint's layer analysis in the run folder; the tests of one study add to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.files import write_atomically
from harness.report import figures
from harness.report.analysis_page import markdown

ANALYSIS = "analysis"  # the folder of a run that holds the pages, and of a checkpoint that holds their stored figures
PAGE = "analysis.md"
FIGURES = figures.PAGE


@dataclass
class StudyPage:
    """What has been measured of one study so far: sections of the page, drawings, and lines for the terminal."""

    checkpoint: str
    folder: Path
    lines: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])
    _sections: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _drawings: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, name: str, section: list[str], setting: str, **drawings: Any) -> None:
        """Add a section, or replace it, and write the page; ``problems`` says so where it can't be written.

        ``setting`` says in a sentence how the study measures. ``drawings`` are what
        :func:`harness.report.figures.write_all` takes, for :meth:`draw`.
        """
        self._sections[name] = section
        self._drawings |= drawings
        try:
            write_atomically(self.folder / PAGE, markdown(self.checkpoint, setting, list(self._sections.values())))
        except HarnessError as error:
            self.problems.append(str(error))

    def draw(self) -> None:
        """Write the drawings, if anything was measured. Raises HarnessError where they can't be written."""
        if self._sections:
            figures.write_all(self.folder, self.checkpoint, **self._drawings)
