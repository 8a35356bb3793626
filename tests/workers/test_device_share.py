"""Workers of one machine take a GPU each, or share the cores; who shares a device is counted."""

from __future__ import annotations

import os

import pytest

from harness.workers.device_share import Share, gpu_names, shares, threads_of, why_not_timed


def test_each_worker_takes_its_own_gpu():
    assert [(share.gpu, share.workers) for share in shares(3, ("0", "2", "5"))] == [("0", 1), ("2", 1), ("5", 1)]
    assert shares(1, ("3",))[0].environment == {"CUDA_VISIBLE_DEVICES": "3"}


def test_workers_beyond_the_gpus_share_them():
    assert [(share.gpu, share.workers) for share in shares(3, ("0", "1"))] == [("0", 2), ("1", 1), ("0", 2)]


def test_on_a_cpu_the_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert shares(3, ()) == [Share(None, 3, 2)] * 3
    assert shares(1, ()) == [Share(None, 1, None)]
    assert shares(2, ())[0].environment == {}
    assert threads_of(20) == 1


@pytest.mark.parametrize(
    ("device", "count", "visible", "names"),
    [
        (None, 2, None, ("0", "1")),
        ("cuda", 2, "4,7", ("4", "7")),
        ("cuda", 1, "GPU-a,GPU-b", ("GPU-a",)),
        ("cuda:1", 2, "4,7", ("7",)),
        ("cpu", 2, None, ()),
        (None, 0, "", ()),
    ],
)
def test_the_gpus_are_those_that_this_process_sees(device, count, visible, names):
    assert gpu_names(device, count, visible) == names


def test_a_shared_device_is_said():
    assert why_not_timed(1) == ""
    assert why_not_timed(2) == "not measured: 2 workers share this device"
