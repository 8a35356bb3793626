"""A sweep by two processes that is killed and goes on is, bit for bit, one that was never disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.results.journal import read
from tests.helpers.works import PAIRS, measurements

ROOT = Path(__file__).parents[2]
ASKED = ["flux-tiny", "--weights", "random:small", "--strategy", "skip", "--range", ",".join(PAIRS), "--threads", "1"]
ASKED += ["--device", "cpu"]


@pytest.fixture
def one_thread():
    """In this process too, for its own part of a sweep; the other tests get back what they had."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.nightly
def test_killed_and_resumed_it_is_the_undisturbed_sweep(tmp_path, one_thread, capsys):
    disturbed, whole = tmp_path / "a" / "r", tmp_path / "b" / "r"
    command = [sys.executable, "-m", "harness", "sweep", *ASKED, "--workers", "2", "--out", str(disturbed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        while len(list((disturbed / "records").glob("*.quality.json"))) < 4:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    done = {path.name: path.read_bytes() for path in (disturbed / "records").glob("*.json")}
    assert 4 < len(done) < 24
    assert main(["sweep", *ASKED, "--resume", str(disturbed)]) == 0
    assert main(["sweep", *ASKED, "--out", str(whole)]) == 0
    assert measurements(read(disturbed)) == measurements(read(whole))
    assert len(read(whole)) == 24
    for name, data in done.items():
        assert (disturbed / "records" / name).read_bytes() == data == (whole / "records" / name).read_bytes()
    assert not list(disturbed.rglob("*.partial"))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is POSIX")
@pytest.mark.nightly
def test_a_terminated_sweep_ranks_what_there_is_and_prints_the_command_that_goes_on(tmp_path):
    """As a scheduler sends it: to the one process, which is a real one."""
    command = [sys.executable, "-m", "harness", "sweep", *ASKED, "--run-id", "r"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while len(list((tmp_path / "reports" / "r" / "records").glob("*.quality.json"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "flux-tiny-random-small" in out
    assert (tmp_path / "reports" / "r" / "ranking.md").exists()
    last = err.splitlines()[-1]
    assert last.startswith("stopped; go on with: python -m harness sweep flux-tiny --weights random:small ")
    assert last.endswith(f" --device cpu --resume {tmp_path}/reports/r")
    assert 2 <= len(read(tmp_path / "reports" / "r")) < 24
