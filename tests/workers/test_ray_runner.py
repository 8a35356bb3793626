"""What the driver of a Ray cluster does itself, without a cluster (tests/e2e/test_ray.py has one)."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError
from harness.results.records import Kind
from harness.workers import ray_runner, record_files
from harness.workers.store import Store
from harness.workers.worker import run_part
from tests.helpers.works import work


def test_a_case_with_which_workers_were_lost_is_an_error(tmp_path):
    asked, store = work(latency=True), Store(tmp_path / "r")
    lost = asked.cases[1].id
    with pytest.raises(HarnessError, match=r"^every worker was lost before anything was measured; .* holds no record"):
        ray_runner._record_lost(asked, store, [lost])
    run_part(asked, store, workers=2, threads=1, say=str)
    store.remove(record_files.file_of(Kind.QUALITY, lost))
    ray_runner._record_lost(asked, store, [lost])
    records = record_files.read_all(store, pytest.fail)
    assert {record.case for record in records.values() if record.error} == {lost}
    assert records[Kind.QUALITY, lost].error == "the workers that measured it were lost, one after the other"
    assert record_files.lacking(records, asked) == []


def test_a_worker_in_an_actor_says_what_it_can_not_open(tmp_path):
    worker = ray_runner.RayWorker(work(prompts={"": ("a",)}), str(tmp_path))
    with pytest.raises(HarnessError, match=r"^random weights make no images") as refused:
        worker.open(1, None)
    assert type(refused.value) is HarnessError
    good = ray_runner.RayWorker(work(), str(tmp_path))
    assert good.open(1, 1)[1] > 0
    assert good.measure(work().cases[0].id, 1)
    assert not good.measure(work().cases[0].id, 1)


def test_memory_is_of_one_process():
    pytest.importorskip("ray")
    with pytest.raises(HarnessError, match=r"^memory://x/r is seen by one process alone"):
        ray_runner.run(work(), Store("memory://x/r"), workers=1)
