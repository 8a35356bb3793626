"""kill -9 at any moment loses the record in flight at most, and the run goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.journal import read

ROOT = Path(__file__).parents[2]

KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from harness.results.journal import Journal, read
from tests.helpers.records import quality

folder, record = Path(sys.argv[1]), quality("skip", 1.0)
random.seed(0)
for run in range(50):
    before = len((folder / "shard-1-of-1.jsonl").read_bytes().split(b"\\n")) - 1 if run else 0
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        journal = Journal(folder)
        for number in range(10_000_000):
            data = record.to_json() | {"case": f"{run}-{number}"}
            journal.append(data)
            os.write(writer, b".")
    os.close(writer)
    os.read(reader, 1)
    time.sleep(random.random() * 0.003)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = 1
    while got := os.read(reader, 65536):
        said += len(got)
    os.close(reader)
    cases = {r.case for r in read(folder)}
    mine = [case for case in cases if case.startswith(f"{run}-")]
    assert said <= len(mine) <= said + 1, (said, len(mine))
    assert {f"{run}-{n}" for n in range(said)} <= cases
    assert len(cases) >= before
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_run_that_is_killed_50_times_loses_no_written_record_and_goes_on(tmp_path):
    folder = tmp_path / "r"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert {case.partition("-")[0] for case in (record.case for record in read(folder))} == {str(i) for i in range(50)}
