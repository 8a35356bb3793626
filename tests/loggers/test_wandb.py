"""What an offline run of Weights & Biases holds: its file is a log of LevelDB with messages of wandb's own protocol."""

from __future__ import annotations

import json
import struct
import time

import pytest

from tests.helpers.logged import EXPECTED, RUN, log_run

pytest.importorskip("wandb", reason="pip install 'dit-ablation-harness[wandb]'")


_HEADER, _BLOCK = 7, 32768


def stored(path):
    """The messages of a .wandb file; wandb has a reader only for what it uploads."""
    data, place, parts = path.read_bytes(), _HEADER, b""
    while place + _HEADER <= len(data):
        if _BLOCK - place % _BLOCK < _HEADER:
            place += _BLOCK - place % _BLOCK
        _, size, kind = struct.unpack("<IHB", data[place : place + _HEADER])
        parts += data[place + _HEADER : place + _HEADER + size]
        place += _HEADER + size
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def messages(path):
    """All messages, the last one says that the run ended: wandb's own process writes them, a moment later."""
    from wandb.proto import wandb_internal_pb2 as proto

    for _ in range(100):
        records = [proto.Record.FromString(data) for data in stored(path)]
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")


def test_wandb_holds_the_figures_the_settings_and_the_ranking(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    assert log_run("wandb", tmp_path) == []
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    values, config, files, runs = {}, {}, [], []
    for record in messages(path):
        for item in record.history.item:
            values[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        for item in (*record.run.config.update, *record.config.update):
            config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        files += [entry.path for entry in record.artifact.manifest.contents]
        runs += [(record.run.project, record.run.run_id)] if record.run.run_id else []
    assert EXPECTED.items() <= values.items()
    assert config["m.dtype"] == "float32"
    assert files == ["ranking.md"]
    assert ("mine", RUN) in runs
