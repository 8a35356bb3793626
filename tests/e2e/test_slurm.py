"""submitit's own executor for one machine: two jobs do all cases, and one that is interrupted goes on where it was."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from harness.errors import HarnessError
from harness.results.journal import WHOLE
from harness.workers import record_files, slurm
from harness.workers.store import Store
from harness.workers.worker import run_part
from tests.helpers.works import PAIRS, work

pytest.importorskip("submitit", reason="submitit is not installed (pip install 'dit-ablation-harness[slurm]')")


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(slurm, "_LOOK", 0.2)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def interrupt_once(records, cases):
    """Once both jobs have records: the signal that Slurm sends before it ends a job, to one job of this process."""
    while len(list(records.glob("*.quality.json"))) <= (cases + 1) // 2:
        time.sleep(0.02)
    children = psutil.Process().children(recursive=True)
    task = next(child for child in children if "submitit.core._submit" in child.cmdline())
    task.send_signal(signal.SIGUSR2)


def test_two_jobs_measure_every_case_and_one_that_is_interrupted_goes_on(tmp_path, quiet):
    asked, store, lines = work(ranges=PAIRS, stacks=("double", "single")), Store(tmp_path / "r"), []
    watcher = threading.Thread(target=interrupt_once, args=[tmp_path / "r" / "records", len(asked.cases)], daemon=True)
    watcher.start()
    slurm.run(asked, store, workers=2, threads=1, cluster="local", say=lines.append)
    watcher.join(timeout=1)
    records = record_files.read_all(store, pytest.fail)
    assert record_files.lacking(records, asked) == []
    assert all(record_files.is_done(record) for record in records.values())
    assert sum("has ended" in line for line in lines) == 2
    logs = "".join(path.read_text() for path in (tmp_path / "r" / slurm.JOBS).rglob("*_log.*"))
    assert "Requeued job" in logs
    assert "was measured before" in logs
    assert logs.count(": measured (") >= len(asked.cases) - 1  # the case in flight is said once, when it is made again


def test_an_interrupt_ends_processes_of_this_machine_and_says_how_to_end_jobs_of_slurm(tmp_path, monkeypatch):
    started = []

    def interrupted(jobs, *_):
        started.extend(psutil.Process(int(job.job_id)) for job in jobs)
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm, "_await", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slurm.run(work(), Store(tmp_path / "r"), workers=1, threads=1, cluster="local", say=[].append)
    assert len(started) == 1
    assert psutil.wait_procs(started, timeout=30)[1] == []
    lines = []
    slurm._interrupted([SimpleNamespace(job_id="12_0"), SimpleNamespace(job_id="12_1")], "slurm", lines.append)
    assert lines == ["these jobs go on, and what they measure is kept: 12_0 12_1; end them with: scancel 12_0 12_1"]


def test_what_is_asked_of_slurm_is_checked(tmp_path, monkeypatch):
    with pytest.raises(HarnessError, match=r"seen by one process alone"):
        slurm.run(work(), Store("memory://s/r"), workers=1, cluster="local")
    with pytest.raises(HarnessError, match=r"^--slurm: .*colour"):
        slurm.run(work(), Store(tmp_path), workers=1, cluster="local", parameters={"colour": "red"})
    if shutil.which("srun") is None:
        with pytest.raises(HarnessError, match=r"there is no Slurm on this machine"):
            slurm.run(work(), Store(tmp_path), workers=1)
    monkeypatch.setattr(slurm, "run_part", lambda *_, **__: None)
    assert slurm.SlurmWorker(work(), str(tmp_path), WHOLE, 1, None)() == 1
    assert run_part is not slurm.run_part
