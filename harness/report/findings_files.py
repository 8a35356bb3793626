"""The findings in a run folder: a line of JSON for each, and the page with their tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness.files import parse_json, write_each
from harness.findings.claim import Finding, from_json
from harness.report.findings_page import markdown

JSONL, MARKDOWN = "findings.jsonl", "findings.md"


def read_findings(folder: Path, problem: Callable[[str], None]) -> list[Finding]:
    """The findings of a run folder; none where it has no file of them.

    ``problem`` is called with a line where the file can't be read.
    """
    path = folder / JSONL
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [from_json(parse_json(line)) for line in lines if line.strip()]
    except (OSError, ValueError) as error:  # of UTF-8, JSON and DataError
        problem(f"can't read {path}: {error}")
        return []


def latest(findings: Iterable[Finding]) -> list[Finding]:
    """The last finding of each claim about each checkpoint, in the order of the first ones."""
    return list({(each.checkpoint, each.claim): each for each in findings}.values())


def add_findings(folder: Path, findings: Sequence[Finding], problem: Callable[[str], None]) -> list[Path]:
    """Write findings beside those of an earlier part of the run, which hold where a claim was not measured again.

    A file that can't be read is left as it is, and so is the page. ``problem`` is called with a line for each file that
    can't be read or written; what was written is returned.
    """
    unread: list[str] = []
    earlier = read_findings(folder, unread.append)
    for line in unread:
        problem(f"{line}; it is left as it is")
    return [] if unread else write_findings(folder, latest([*earlier, *findings]), problem)


def write_findings(folder: Path, findings: Sequence[Finding], problem: Callable[[str], None]) -> list[Path]:
    """Write both files, and return those that could be; ``problem`` is called with a line for each other one."""
    lines = "".join(f"{json.dumps(finding.to_json(), sort_keys=True)}\n" for finding in findings)
    return write_each({folder / MARKDOWN: markdown(findings), folder / JSONL: lines}, problem)
