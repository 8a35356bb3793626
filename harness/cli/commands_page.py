"""The commands with their options as Markdown, for docs/commands.md: ``python -m harness.cli.commands_page``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from harness.cli.main import COMMANDS, GROUPS, load
from harness.markdown import markdown_table

_HEAD = ("argument", "what it is")


def commands_markdown() -> str:
    """Every command under the heading of its group: its line in ``--help``, and a table of its arguments."""
    listed = [name for names in GROUPS.values() for name in names]
    others = tuple(name for name in COMMANDS if name not in listed)
    lines: list[str] = []
    for heading, names in {**GROUPS, **({"others": others} if others else {})}.items():
        lines += [f"## {heading[0].upper()}{heading[1:]}", ""]
        for name in names:
            lines += [f"### {name}", "", f"{_sentence(COMMANDS[name].help)}", ""]
            parser = argparse.ArgumentParser(prog=f"python -m harness {name}", add_help=False)
            load(name).add_arguments(parser)
            lines += list(_arguments(parser))
    return "\n".join(lines).rstrip("\n")


def _arguments(parser: argparse.ArgumentParser, step: str = "") -> Iterator[str]:
    rows: list[tuple[str, str]] = []
    steps: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of what was added
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            steps = dict(action.choices)
        elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):  # noqa: SLF001 - as above
            rows.append((f"`{_name(action)}`", _help(parser, action)))
    if step:
        yield from (f"`{step}`:", "")
    if rows:
        yield from (*markdown_table(_HEAD, rows), "")
    for name, inner in steps.items():
        yield from _arguments(inner, f"{step} {name}".strip())


def _name(action: argparse.Action) -> str:
    """``--speedup X``, as one types it; what may be repeated has dots."""
    value = action.metavar or (
        "|".join(map(str, action.choices)) if action.choices is not None else action.dest.upper().replace("-", "_")
    )
    value = value if isinstance(value, str) else " ".join(value)
    several = " ..." if action.nargs in ("+", "*") else ""
    if not action.option_strings:
        return f"{value}{several}"
    takes = "" if action.nargs == 0 else f" {value}{several}"
    return ", ".join(action.option_strings) + takes


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()  # noqa: SLF001 - what fills %(default)s
    return _cell(formatter._expand_help(action) if action.help else "")  # noqa: SLF001 - as above


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    sys.stdout.write(commands_markdown() + "\n")
