"""submitit's own executor for one machine: two jobs do all cases, and one that is interrupted goes on where it was."""

from __future__ import annotations

import shutil

import pytest

from harness.errors import HarnessError
from harness.results.journal import WHOLE
from harness.workers import record_files, slurm
from harness.workers.store import Store
from harness.workers.worker import run_part
from tests.helpers.works import PAIRS, work

submitit = pytest.importorskip(
    "submitit", reason="submitit is not installed (pip install 'dit-ablation-harness[slurm]')"
)


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(slurm, "_LOOK", 0.2)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def test_two_jobs_measure_every_case(tmp_path, quiet):
    asked, store, lines = work(), Store(tmp_path / "r"), []
    slurm.run(asked, store, workers=2, threads=1, cluster="local", say=lines.append)
    records = record_files.read_all(store, pytest.fail)
    assert record_files.lacking(records, asked) == []
    assert all(record_files.is_done(record) for record in records.values())
    assert sum("has ended" in line for line in lines) == 2


def test_a_job_that_is_interrupted_is_put_back_and_goes_on(tmp_path, quiet):
    asked, store = work(ranges=PAIRS, stacks=("double", "single")), Store(tmp_path / "r")
    executor = submitit.LocalExecutor(tmp_path / "jobs", max_num_timeout=3)
    executor.update_parameters(timeout_min=5, signal_delay_s=1)
    job = executor.submit(slurm.SlurmWorker(asked, store.place, WHOLE, 1, 1))
    records = tmp_path / "r" / "records"
    while len(list(records.glob("*.quality.json"))) < 2:
        assert not job.done(), job.stderr()
    job._interrupt()
    before = {path.name: path.stat().st_mtime_ns for path in records.glob("*.quality.json")}
    assert job.result() == 1
    assert "Requeued job" in job.stderr()
    after = {path.name: path.stat().st_mtime_ns for path in records.glob("*.quality.json")}
    assert len(after) == len(asked.cases) > len(before)
    assert {name: after[name] for name in before} == before  # not measured again


def test_what_is_asked_of_slurm_is_checked(tmp_path, monkeypatch):
    with pytest.raises(HarnessError, match=r"seen by one process alone"):
        slurm.run(work(), Store("memory://s/r"), workers=1, cluster="local")
    with pytest.raises(HarnessError, match=r"^--slurm: .*partition"):
        slurm.run(work(), Store(tmp_path), workers=1, cluster="local", parameters={"partition": "gpu"})
    if shutil.which("srun") is None:
        with pytest.raises(HarnessError, match=r"there is no Slurm on this machine"):
            slurm.run(work(), Store(tmp_path), workers=1)
    monkeypatch.setattr(slurm, "run_part", lambda *_, **__: None)
    assert slurm.SlurmWorker(work(), str(tmp_path), WHOLE, 1, None)() == 1
    assert run_part is not slurm.run_part
