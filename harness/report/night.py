"""What a nightly run tells GitHub: a job summary that it takes, annotations that it shows, and the text of an issue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import printable
from harness.markdown import code_text, markdown_text
from harness.report.red_section import red_groups
from harness.report.text import counted
from harness.results.records import Record

SUMMARY_BYTES = 1_000_000  # GitHub takes 1 MiB of a step, and shows nothing of a longer one
MOST_ANNOTATIONS = 10  # that GitHub shows of one step
_ISSUE_CASES = 30
_ISSUE_CHARACTERS = 60_000  # GitHub takes 65,536
_MESSAGE = 500
_PAGES = ("ranking.md", "findings.md", "analysis.md")


@dataclass(frozen=True)
class Night:
    """One checkpoint's part of a night: its ``name``, what was recorded, and the exit codes of its pytests by shard.

    ``lacking`` says why there is no whole run, empty where there is one.
    """

    name: str
    records: Sequence[Record]
    codes: Mapping[str, int] = field(default_factory=dict[str, int])
    lacking: str = ""

    @property
    def failed(self) -> bool:
        """Whether a result is red, a pytest ended otherwise than with 0, or something is lacking."""
        return bool(self.lacking or any(self.codes.values()) or any(r.verdict.status.red for r in self.records))

    @property
    def headline(self) -> str:
        """``FLUX.1-dev bfloat16: 2 of 143 results are red``."""
        red = sum(record.verdict.status.red for record in self.records)
        said = f"{red} of {counted(len(self.records), 'result')} {'is' if red == 1 else 'are'} red"
        ended = [f"shard {shard} ended with exit code {code}" for shard, code in self.codes.items() if code]
        return f"{printable(self.name)}: " + "; ".join(filter(None, (said, *ended, self.lacking)))


def summary(night: Night, folders: Sequence[Path], limit: int = SUMMARY_BYTES) -> str:
    """The pages of a run as one page of at most ``limit`` bytes of UTF-8, cut at the end of a line.

    ``folders`` are the run's and those of its shards; each page is the first one that there is.
    """
    places = [next((f / name for f in folders if (f / name).exists()), None) for name in _PAGES]
    pages = [place.read_text(encoding="utf-8") for place in places if place is not None]
    head = [f"# {markdown_text(night.headline)}", ""]
    return _cut("\n".join([*head, *pages]) + "\n", limit)


def _cut(text: str, limit: int) -> str:
    if len(text.encode()) <= limit:
        return text
    note = "\n```\n\nCut here: the whole page is longer than GitHub shows. It is in the run's artifact.\n"
    kept = text.encode()[: limit - len(note.encode())].decode(errors="ignore")
    kept = kept[: kept.rfind("\n") + 1]
    inside = sum(line.startswith("```") for line in kept.splitlines()) % 2
    return kept + (note if inside else note.removeprefix("\n```"))


def error_annotations(night: Night) -> list[str]:
    """Workflow commands that mark at most ten errors: results by their message, the furthest outside first."""
    groups = list(red_groups(night.records).items())
    shown = groups if len(groups) <= MOST_ANNOTATIONS else groups[: MOST_ANNOTATIONS - 1]
    lines = [
        _error(names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more", message)
        for message, names in shown
    ]
    if more := len(groups) - len(shown):
        lines.append(_error(night.name, f"and {more} more kinds of failure; all of them are in the summary"))
    if not lines and night.failed:
        lines.append(_error(night.name, night.headline))
    return lines


def _error(title: str, message: str) -> str:
    """``::error title=...::...`` with what would end it written in GitHub's way."""
    text = printable(message.partition("\n")[0])[:_MESSAGE].replace("%", "%25")
    head = printable(title).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::error title={head}::{text}"


def issue_section(night: Night) -> str:
    """What an issue says of one checkpoint: the headline, and each red result with the first line of its message."""
    lines = [f"### {markdown_text(night.headline)}", ""]
    groups = list(red_groups(night.records).items())
    for message, names in groups[:_ISSUE_CASES]:
        first = code_text(message.partition("\n")[0])[:_MESSAGE]
        lines.append(f"- {markdown_text(', '.join(names[:5]))}{' ...' if len(names) > 5 else ''}: `{first}`")
    if len(groups) > _ISSUE_CASES:
        lines.append(f"- and {len(groups) - _ISSUE_CASES} more")
    return _cut("\n".join([*lines, ""]), _ISSUE_CHARACTERS)
