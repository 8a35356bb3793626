"""Ctrl-C while the ranking is made leaves one line that says how to make it."""

from __future__ import annotations

from harness.results.journal import read
from tests.helpers.projects import run


def test_an_interrupt_while_the_ranking_is_made_is_one_line(project):
    project.makeconftest(
        "from harness.plugin import summary\n"
        "def interrupted(*_): raise KeyboardInterrupt\n"
        "def pytest_sessionfinish(session):\n"
        "    session.config.theirs, summary.ranking = summary.ranking, interrupted\n"
        "def pytest_unconfigure(config):\n"
        "    if hasattr(config, 'theirs'): summary.ranking = config.theirs\n"
    )
    result = run(project, "-k", "skip")
    text = result.stdout.str() + result.stderr.str()
    result.stdout.fnmatch_lines(
        [f"stopped while the ranking was made; make it with: python -m harness report {project.path}/reports/r"]
    )
    assert "Traceback" not in text
    assert "KeyboardInterrupt" not in text
    assert [r.strategy for r in read(project.path / "reports" / "r")] == ["skip"]
