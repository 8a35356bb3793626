"""The library in a process of its own: the example in the docs runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import harness
from harness import read_journal

DOCS = Path(harness.__file__).parent.parent / "docs"


def example():
    found = re.search(r"```python\n(from harness import .*?)```", (DOCS / "library.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def printed():
    found = re.search(r"```text\n(without block 2: .*?)```", (DOCS / "library.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def without_numbers(text):
    """What stands in every line whatever machine measured it: words, and no figures or spaces."""
    return [re.sub(r"[-\d.]+", "#", line).split() for line in text.splitlines() if line.strip()]


def test_the_example_in_the_docs_runs(tmp_path):
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 15
    done = subprocess.run(
        [sys.executable, "-c", example()],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"without block 2: harm -?\d+\.\d\d sd, \(2, 3, 40, 40\) images", done.stdout)
    assert "least harmful variant: flux-tiny (2 prompts)" in done.stdout
    assert "double-L01-03-skip" in done.stdout
    assert without_numbers(done.stdout) == without_numbers(printed())  # the page shows what it really prints
    assert "no tiers: 2 prompts, and tiers need 16" in printed()
    assert [r.strategy for r in read_journal(tmp_path / "reports" / "mine")] == ["skip", "shuffle.s0"]
    assert {path.name for path in (tmp_path / "reports" / "mine" / "images").iterdir()} == {
        "flux-tiny-control.png",
        "flux-tiny-double-L01-03-skip.png",
        "flux-tiny-double-L01-03-skip-prompts.png",
        "flux-tiny-double-L01-03-shuffle.s0.png",
        "flux-tiny-double-L01-03-shuffle.s0-prompts.png",
        "flux-tiny-control-sheet.webp",
        "flux-tiny-double-L01-03-skip-sheet.webp",
        "flux-tiny-double-L01-03-shuffle.s0-sheet.webp",
        "flux-tiny-prompts.json",
    }
