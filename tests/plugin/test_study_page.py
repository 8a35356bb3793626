"""The page of an analysis grows with every test of a study."""

from __future__ import annotations

from harness.plugin.study_page import PAGE, StudyPage


def test_every_test_adds_its_section(tmp_path):
    page = StudyPage("flux-tiny", tmp_path / "analysis" / "flux-tiny")
    page.add("layers", ["## Figures", ""], "8 prompts, 4 steps.")
    page.add("groups", ["## Groups", ""], "8 prompts, 4 steps.", groups={"double": (0, 2)})
    page.add("layers", ["## Figures again", ""], "8 prompts, 4 steps.")
    text = (page.folder / PAGE).read_text()
    assert text == "# Layer analysis of flux-tiny\n\n8 prompts, 4 steps.\n\n## Figures again\n\n## Groups\n"


def test_nothing_is_drawn_where_nothing_was_measured(tmp_path):
    StudyPage("flux-tiny", tmp_path / "analysis").draw()
    assert list(tmp_path.iterdir()) == []
