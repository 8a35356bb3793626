"""kill -9 in the middle of a search: the same command goes on from what was written, and measures none of it again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [
    *(sys.executable, "-m", "harness", "search", "flux-tiny", "--remove", "3", "--selector", "greedy", "--front", "0"),
    *("--take-prompts", "1", "--take-steps", "1", "--confirm", "1", "--device", "cpu", "--out"),
]


def written(journal):
    """The whole lines of a journal after its first."""
    return journal.read_bytes().split(b"\n")[1:-1] if journal.exists() else []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_killed_search_goes_on(tmp_path):
    out = tmp_path / "reports" / "search"
    journal = out / "search.jsonl"
    search = subprocess.Popen([*COMMAND, str(out)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(written(journal)) < 15:  # the first batch: every block alone
        assert search.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(search.pid, signal.SIGKILL)
    search.wait()
    before = written(journal)
    journal.write_bytes(journal.read_bytes() + b'{"error": 0.1, "lef')  # as if it had been in the middle of a line
    done = subprocess.run([*COMMAND, str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"goes on from {len(before)} results" in done.stdout
    lines = written(journal)
    assert lines[: len(before)] == before
    results = [json.loads(line) for line in lines]
    errors = [tuple(result["left_out"]) for result in results if "error" in result]
    assert len(errors) == len(set(errors)) == 15 + 14 + 13
    assert {path.name for path in out.iterdir()} == {
        *("search.jsonl", "front.md", "front.csv", "front.json", "front.png"),
    }
