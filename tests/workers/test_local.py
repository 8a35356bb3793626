"""The processes of this machine: their command lines, and what is refused before one is started."""

from __future__ import annotations

import os
import sys

import pytest

from harness.cli.main import parse
from harness.errors import HarnessError
from harness.results.journal import Shard
from harness.workers import local
from harness.workers.device_share import Share
from harness.workers.store import Store
from tests.helpers.works import work


def test_a_worker_is_told_its_part_and_its_share(tmp_path):
    words = local.command(Store(tmp_path), Shard(2, 3), Share("1", 2, 4), None)
    assert words[:3] == [sys.executable, "-m", "harness"]
    parsed = parse(words[3:])
    assert (parsed.work, parsed.run) == (f"{tmp_path}/work.json", str(tmp_path))
    assert (parsed.part, parsed.sharing, parsed.threads, parsed.parent) == (Shard(2, 3), 2, 4, os.getpid())
    assert parse(local.command(Store(tmp_path), Shard(1, 2), Share("0", 1, None), 7)[3:]).threads == 7


def test_the_gpus_are_shared_out_and_the_ends_of_all_workers_awaited(tmp_path, monkeypatch):
    seen = []

    def processes(store, shares, threads):
        seen.extend(share.gpu for share in shares)
        return [0, -9, 4]

    monkeypatch.setattr(local, "_gpus", lambda device: ("4", "7", "8"))
    monkeypatch.setattr(local, "_run_processes", processes)
    with pytest.raises(HarnessError, match=r"^of 3 workers, .*: 2 \(killed by signal 9\), 3 \(exit code 4\); what is"):
        local.run(work(), Store(tmp_path), workers=None)
    assert seen == ["4", "7", "8"]


def test_memory_is_of_one_process():
    with pytest.raises(HarnessError, match="is seen by this process alone; give --out another URL, or --workers 1"):
        local.run(work(), Store("memory://x/r"), workers=2)
