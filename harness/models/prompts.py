"""Prompt files and sentences.

A file has one prompt a line, in UTF-8; empty lines and lines that start with ``#`` don't count.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import PromptError

# The prompts of a checkpoint that names none.
DEFAULT = Path(__file__).parent / "data" / "prompts.txt"

# Marks, the quotes or brackets that close after them, and white space.
_END = re.compile(r"""[.!?\u2026]+["'\u201d\u2019\u00bb)\]]*\s+""")
# Short forms and initials, whose point ends no sentence.
_SHORT = re.compile(
    r"""(?:^|[\s("'\u201c\u2018\u00ab\[])(?:Mr|Mrs|Ms|Dr|Prof|St|Mt|Ft|No|vs|approx|ca|cf|[Ee]\.g|[Ii]\.e|[A-Z](?:\.[A-Z])*)\.\s$"""
)


def read(path: Path) -> list[str]:
    """The prompts of a file.

    Raises PromptError: no such file, not UTF-8, no prompt in it, the same prompt twice.
    """
    return [prompt for group in categories(path).values() for prompt in group]


def categories(path: Path) -> dict[str, list[str]]:
    """The prompts of a file by the last comment line above them (``""`` where there is none), in the file's order.

    Raises PromptError as :func:`read`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows write a mark at the start
    except UnicodeDecodeError as error:
        raise PromptError(f"prompt file {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise PromptError(f"can't read the prompt file {path}: {error.strerror or error}") from None
    heading = ""
    groups: dict[str, list[str]] = {}
    seen: set[str] = set()
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
        elif line:
            if line in seen:
                raise PromptError(f"prompt file {path} has a prompt twice, which would count it twice: {line[:60]!r}")
            seen.add(line)
            groups.setdefault(heading, []).append(line)
    if not groups:
        raise PromptError(f"prompt file {path} holds no prompt; write one a line")
    return groups


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order; joined by spaces they are the text, with its white space made single.

    A sentence ends where ``.``, ``!``, ``?`` or an ellipsis, with the quotes and brackets that close after it, is
    followed by white space and then by anything but a small letter. The point of an initial or of a short form
    (``St.``, ``e.g.``) ends none.
    """
    flat = " ".join(text.split())
    out: list[str] = []
    start = 0
    for match in _END.finditer(flat):
        end = match.end()
        if end < len(flat) and not flat[end].islower() and not _SHORT.search(flat[start:end]):
            out.append(flat[start : end - 1])
            start = end
    return [*out, flat[start:]] if flat else []


def digest(prompts: Sequence[str]) -> str:
    """Twelve hex digits that stand for the prompts and their order."""
    return hashlib.sha256("\n".join(prompts).encode()).hexdigest()[:12]
