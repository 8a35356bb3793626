"""What is red in a run and why: for the top of the ranking's page, and for the end of the terminal's output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.errors import printable
from harness.markdown import code_text, markdown_text
from harness.report.failure import check_line, headline
from harness.report.text import counted
from harness.results.records import Record, Status

_IN_FULL = 20  # messages on the page; what more is red is a line each
_ON_TERMINAL = 10
_LINES, _WIDTH = 40, 400  # of a message, which a journal may have from anybody


def red_markdown(records: Sequence[Record]) -> list[str]:
    """Lines of Markdown: how many of a run's results are red, by verdict, and the message of each red test.

    Tests that failed with one and the same message, as where no stored value applies, share it.
    """
    red = [record for record in records if record.verdict.status.red]
    counts = Counter(record.verdict.status.value for record in records)
    by_verdict = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    if not red:
        return [f"**None of {counted(len(records), 'result')} is red** ({by_verdict}).", ""]
    are = "is" if len(red) == 1 else "are"
    out = [f"# {len(red)} of {counted(len(records), 'result')} {are} red", "", f"{by_verdict}.", ""]
    for count, (message, names) in enumerate(red_groups(red).items()):
        if count < _IN_FULL:
            out += [f"**{markdown_text(', '.join(names))}**", "", "```text", *_code_lines(message), "```", ""]
        else:
            out.append(f"- {markdown_text(', '.join(names))}: `{code_text(_first_line(message))[:_WIDTH]}`")
    return out if out[-1] == "" else [*out, ""]


def red_lines(records: Sequence[Record], width: int) -> list[str]:
    """Lines of at most ``width`` characters for the terminal: a title, and each red result with what is red of it.

    Empty where nothing is red but tests that raised, which the ranking names.
    """
    red = [record for record in records if record.verdict.status.red and record.verdict.status is not Status.ERROR]
    if not red:
        return []
    groups = list(red_groups(red).items())
    lines = [f"{_named(names)}: {_first_line(message)}" for message, names in groups[:_ON_TERMINAL]]
    more = [f"... and {len(groups) - _ON_TERMINAL} more"] if len(groups) > _ON_TERMINAL else []
    cut = (line if len(line) <= width else f"{line[: width - 3]}..." for line in map(printable, lines))
    return [f"red ({len(red)} of {counted(len(records), 'result')}):", *cut, *more]


def red_groups(records: Sequence[Record]) -> dict[str, list[str]]:
    """The names of red results by their messages, the furthest outside its tolerance first."""
    red = [record for record in records if record.verdict.status.red]
    groups: dict[str, list[str]] = {}
    for record in sorted(red, key=lambda record: -max((check.excess for check in record.verdict.checks), default=0.0)):
        groups.setdefault(_message(record), []).append(record.title)
    return groups


def _message(record: Record) -> str:
    """The message of the failed test; where none is recorded, as without pytest, what the verdict says."""
    if record.failure:
        return record.failure
    return "\n".join([headline(record.verdict), *map(check_line, record.verdict.checks)])


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _first_line(message: str) -> str:
    return message.partition("\n")[0]


def _code_lines(message: str) -> list[str]:
    """A message for a block of code, which nothing in it ends."""
    lines = message.split("\n")
    cut = [code_text(line)[:_WIDTH] for line in lines[:_LINES]]
    return cut if len(lines) <= _LINES else [*cut, "..."]
