"""The part of a process in a run under pytest-xdist."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from harness.plugin.workers import Process, is_controller, is_worker, send_run_id


def config(processes=None, worker=None):
    made = SimpleNamespace(option=SimpleNamespace(numprocesses=processes))
    if worker is not None:
        made.workerinput = worker
    return made


@pytest.fixture
def worker():
    """A worker's configuration, as its controller sends it."""
    node = SimpleNamespace(workerinput={"workerid": "gw1", "workercount": 2})
    send_run_id(node, "of-the-controller")
    return config(processes=2, worker=node.workerinput)


def test_each_process_knows_its_part(worker):
    parts = [(is_worker(c), is_controller(c)) for c in (config(), config(processes=2), worker)]
    assert parts == [(False, False), (False, True), (True, False)]
    assert is_controller(SimpleNamespace(option=SimpleNamespace())) is False  # xdist is not installed


def test_workers_write_into_the_run_folder_of_their_controller(worker):
    assert Process.of(config(processes=2), "own") == Process("own")
    assert Process.of(worker, "own") == Process("of-the-controller", "gw1", 2)


def test_workers_share_the_cores(worker):
    process = Process.of(worker, "own")
    assert process.threads(None) == max(1, (os.cpu_count() or 1) // 2)
    assert process.threads(3) == 3
    assert Process("own").threads(None) is None
    assert Process("own").threads(3) == 3
