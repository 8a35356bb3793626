"""Prompt files: one prompt a line, UTF-8; empty lines and lines that start with ``#`` don't count."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.errors import PromptError


def read(path: Path) -> list[str]:
    """The prompts of a file.

    Raises PromptError: no such file, not UTF-8, no prompt in it, the same prompt twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"prompt file {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise PromptError(f"can't read the prompt file {path}: {error.strerror or error}") from None
    lines = [line.strip() for line in text.splitlines()]
    prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts:
        raise PromptError(f"prompt file {path} holds no prompt; write one a line")
    seen: set[str] = set()
    for prompt in prompts:
        if prompt in seen:
            raise PromptError(f"prompt file {path} has a prompt twice, which would count it twice: {prompt[:60]!r}")
        seen.add(prompt)
    return prompts


def digest(prompts: Sequence[str]) -> str:
    """Twelve hex digits that stand for the prompts and their order."""
    return hashlib.sha256("\n".join(prompts).encode()).hexdigest()[:12]
