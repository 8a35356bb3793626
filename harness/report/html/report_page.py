"""``index.html`` of a run folder: the report to look at, from the run's records and the files beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, printable, refuse
from harness.files import write_atomically
from harness.findings.claim import Finding
from harness.report.contact_sheet import is_name
from harness.report.findings_files import JSONL, MARKDOWN, read_findings
from harness.report.findings_page import summary
from harness.report.html.command import test_command
from harness.report.html.report_data import circumstances_of, report_data
from harness.report.html.shell import render
from harness.report.image_sheet import read_texts, texts_path
from harness.report.tiles import IMAGES
from harness.results.ranking import Ranking
from harness.results.records import Record

PAGE = "index.html"
_SCRIPTS = (
    "plans.js",
    "compare.js",
    "case.js",
    "variants.js",
    "charts.js",
    "sections.js",
    "report.js",
)
_ANALYSIS, _FIGURES = "analysis", "figures.html"  # of a run folder, and of a checkpoint's folder in it
_LINKS = ("ranking.md", "ranking.csv", "ranking.json", MARKDOWN, JSONL)


def write_report(
    folder: Path,
    records: Sequence[Record],
    rankings: Sequence[Ranking],
    problem: Callable[[str], None] = refuse,
) -> list[Path]:
    """Write the page of a run into its folder; its path, or nothing where that failed.

    ``problem`` is called with a line for what can't be read or written; without it, HarnessError is raised.
    """
    path = folder / PAGE
    try:
        write_atomically(path, report_html(folder, records, rankings, problem))
    except HarnessError as error:
        problem(str(error))
        return []
    return [path]


def report_html(
    folder: Path,
    records: Sequence[Record],
    rankings: Sequence[Ranking],
    problem: Callable[[str], None] = refuse,
) -> str:
    """The page's text; the same for the same records and the same files beside it."""
    data = report_data(records, rankings, _names(folder / IMAGES), partial(_texts, folder))
    data["analyses"] = _analyses(folder / _ANALYSIS)
    findings = read_findings(folder, problem)
    data["findings"] = [_finding(each) for each in findings]
    data["claims"] = _claims(findings)
    data["files"] = [name for name in (*_LINKS, *_sheets(folder)) if (folder / name).is_file()]
    names = ", ".join(dict.fromkeys(group["checkpoint"] for group in data["groups"]))
    claimed = ", ".join(each["checkpoint"] for each in data["claims"])
    title = f"Ablations of {names}" if names else f"Published claims on {claimed}" if claimed else "Ablations"
    return render(
        "report.html.j2",
        title=title,
        data=data,
        css=("report.css",),
        scripts=_SCRIPTS,
        plotly=True,
        run=data["run"],
        findings=bool(data["findings"]),
        variants=bool(data["groups"]) or not data["findings"],
        analyses=bool(data["analyses"]),
    )


def _texts(folder: Path, checkpoint: str) -> list[str]:
    return read_texts(texts_path(folder, checkpoint)) if is_name(checkpoint) else []


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError:
        return frozenset()


def _sheets(folder: Path) -> list[str]:
    return sorted(name for name in _names(folder) if name.startswith("contact-") and name.endswith(".png"))


def _analyses(folder: Path) -> list[dict[str, Any]]:
    """The figures of layer analyses beside the page, a folder a checkpoint."""
    out: list[dict[str, Any]] = []
    for name in sorted(_names(folder)):
        files = sorted(_names(folder / name))
        figures = [file for file in files if file.endswith(".png")]
        pages = [file for file in (_FIGURES, "analysis.md") if file in files]
        if figures or pages:
            out.append({"name": name, "figures": figures, "pages": pages})
    return out


def _claims(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Of each checkpoint that claims were tested on: how many have which verdict, and what it was measured with."""
    out: list[dict[str, Any]] = []
    for checkpoint in dict.fromkeys(finding.checkpoint for finding in findings):
        own = [finding for finding in findings if finding.checkpoint == checkpoint]
        facts = next((finding.measured for finding in own if finding.measured is not None), None)
        out.append(
            {
                "checkpoint": printable(checkpoint),
                "summary": summary(own),
                "environment": [] if facts is None else circumstances_of(facts),
            }
        )
    return out


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "id": printable(finding.claim),
        "checkpoint": printable(finding.checkpoint),
        "statement": printable(finding.statement),
        "verdict": finding.verdict.value,
        "because": printable(finding.because),
        "source": printable(finding.source),
        "command": test_command(finding.nodeid),
    }
