"""Three nodes of a Ray cluster, a worker killed and a node removed on the way: every case is done once."""

from __future__ import annotations

import os
import re
import signal
import time
from functools import partial

import psutil
import pytest

from harness.errors import HarnessError
from harness.results.records import Kind
from harness.workers import ray_runner, record_files
from harness.workers.dispatch import Limits
from harness.workers.store import Store
from tests.helpers.works import PAIRS, work

ray = pytest.importorskip("ray", reason="ray is not installed (pip install 'dit-ablation-harness[ray]')")
MEMORY = 80 * 2**20  # of each node's object store, in bytes


def patiently(start):
    """A node that Ray starts, tried again where this machine is too busy for the 30 s that Ray gives it."""
    for _ in range(2):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return start()


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DEDUP_LOGS", "0")
        node = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
        cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=node))
        add = partial(cluster.add_node, num_cpus=1, object_store_memory=MEMORY)
        cluster.others = [patiently(add) for _ in range(2)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def on_node(process, node):
    """Whether a process was started by the raylet of a node."""
    (raylet,) = node.all_processes["raylet"]
    return raylet.process.pid in {parent.pid for parent in psutil.Process(process).parents()}


def test_an_actor_that_can_not_open_its_model_is_said(cluster, tmp_path):
    asked = work(prompts={"": ("a",)})
    with pytest.raises(HarnessError, match=r"^no worker is left: random weights make no images"):
        ray_runner.run(asked, Store(tmp_path), workers=1, limits=Limits(rest=0.1, failures=1), say=str)


def test_every_case_is_done_once_whoever_is_lost(cluster, tmp_path):
    asked = work(ranges=PAIRS, stacks=("double", "single"))
    store, lines, processes = Store(tmp_path / "r"), [], {}
    removed = cluster.others[1]

    def say(line):
        lines.append(line)
        if ready := re.match(r"worker (\d) is ready \(process (\d+)", line):
            processes.setdefault(int(ready[1]), int(ready[2]))
        if f"(6 of {len(asked.cases)})" in line:
            on_others = [p for p in processes.values() if not on_node(p, removed)]
            os.kill(on_others[-1], signal.SIGKILL)
        if f"(12 of {len(asked.cases)})" in line:
            cluster.remove_node(removed, allow_graceful=False)

    began = time.monotonic()
    ray_runner.run(asked, store, workers=3, limits=Limits(rest=0.5), say=say)
    took = time.monotonic() - began
    records = record_files.read_all(store, pytest.fail)
    assert {case for kind, case in records if kind is Kind.QUALITY} == {entry.id for entry in asked.cases}
    assert all(record_files.is_done(record) for record in records.values())
    done = [line.partition(":")[0] for line in lines if ": measured by" in line or "was measured before" in line]
    assert sorted(done) == sorted(entry.id for entry in asked.cases)
    failed = [line for line in lines if " failed (" in line]
    assert len(failed) == 2, lines
    assert all("it rests for 0 s" in line or "it rests for 1 s" in line for line in failed)
    print(f"ray: {len(asked.cases)} cases in {took:.1f} s, {len(failed)} workers lost")
