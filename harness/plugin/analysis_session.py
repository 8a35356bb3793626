"""The analyses of a session: the study of each checkpoint, opened on first use, and the page that its tests share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.findings.catalogue import load
from harness.gates.update import UpdateMode
from harness.plugin.fixtures.finding import FindingFixture
from harness.plugin.labs import Labs
from harness.plugin.parameters import Parameter
from harness.plugin.study_page import ANALYSIS, FIGURES, PAGE, StudyPage
from harness.plugin.transport import output_of

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.lab.protocol import LabProtocol
    from harness.plugin.fixtures.study import StudyFixture


@dataclass
class AnalysisSession:
    """Makes the fixtures of analyses and claims; tests on the same checkpoint share its study.

    ``folder`` is the run's, ``worker`` the name of this process under pytest-xdist, empty without it.
    """

    labs: Labs
    folder: Path
    worker: str
    update: UpdateMode | None
    _studies: dict[str, Study] = field(default_factory=dict)
    _pages: dict[str, StudyPage] = field(default_factory=dict[str, StudyPage])

    def study(self, parameter: Parameter, item: pytest.Item) -> StudyFixture:
        """The `study` fixture of a test. Skips the test where no images are made; raises HarnessError without a lab."""
        # Here, as in _study, since it loads diffusers, which the controller of pytest-xdist does without.
        from harness.plugin.fixtures.study import StudyFixture

        opened = self.labs.open(parameter.target)
        return StudyFixture(
            study=self._study(opened.lab),
            reference=opened.reference,
            page=self._page(parameter.target.name),
            nodeid=item.nodeid,
            baselines=parameter.target.baselines,
            update=self._update_mode(),
        )

    def _page(self, name: str) -> StudyPage:
        # Tests of one study add to the same page; workers of one session must not write into each other's.
        folder = f"{name}-{self.worker}" if self.worker else name
        return self._pages.setdefault(name, StudyPage(name, self.folder / ANALYSIS / folder))

    def finding(self, parameter: Parameter, item: pytest.Item) -> FindingFixture:
        """The `finding` fixture of a test. Skips and raises as :meth:`study` does."""
        assert parameter.claim is not None  # the mark of a test that takes `finding` holds claims
        return FindingFixture(
            claim=load(parameter.claim),
            study=self._study(self.labs.open(parameter.target).lab),
            nodeid=item.nodeid,
            baselines=parameter.target.baselines,
            update=self._update_mode(),
            rigour=self.labs.options.rigour,
            findings=output_of(item).findings,
        )

    def _study(self, lab: LabProtocol) -> Study:
        from harness.analysis.noised_images import read_images
        from harness.analysis.study import Study
        from harness.lab.lab import Lab

        if not isinstance(lab, Lab):
            pytest.skip(lab.no_images_reason)
        if lab.checkpoint.name not in self._studies:
            folder, settings = self.labs.options.images, lab.checkpoint.settings
            images = read_images(folder, settings.height, settings.width) if folder else None
            self._studies[lab.checkpoint.name] = Study(lab, images)
        return self._studies[lab.checkpoint.name]

    def _update_mode(self) -> UpdateMode | None:
        if self.update is not None and self.worker:
            pytest.fail(
                "analyses are stored by one process, since their tests write the same files: leave out -n",
                pytrace=False,
            )
        return self.update

    def draw(self) -> None:
        """Write the figures of every study. Raises HarnessError where they can't be written."""
        for page in self._pages.values():
            page.draw()

    def lines(self) -> list[str]:
        """What the analyses of this process came to, for the terminal."""
        return [f"{name}: {line}" for name, page in self._pages.items() for line in page.lines]

    def problems(self) -> list[str]:
        """What the analyses of this process could not write."""
        return [line for page in self._pages.values() for line in page.problems]

    def written_pages(self) -> list[Path]:
        """The pages in the run folder, the text and then the interactive figures; those of other processes too."""
        return [path for page in (PAGE, FIGURES) for path in sorted(self.folder.glob(f"{ANALYSIS}/*/{page}"))]
