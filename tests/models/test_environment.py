"""The device and the versions that a number is measured with."""

from __future__ import annotations

import re
from importlib import metadata

import pytest
import torch

from harness.errors import CheckpointError
from harness.models import environment

CPU = torch.device("cpu")


def test_a_device_is_the_one_that_is_named_or_the_best_there_is():
    assert environment.pick_device("cpu") == CPU
    assert environment.pick_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(CheckpointError, match=r"^device 'gpu' can't be used here: [^\n]+$"):
        environment.pick_device("gpu")


def test_versions_are_of_what_is_installed():
    found = environment.versions("no-such-package", "pytest")
    assert {"python", "torch", "diffusers", "pytest"} <= set(found)
    assert "no-such-package" not in found
    assert found["torch"] == metadata.version("torch")


def test_the_machine_depends_on_the_instruction_set_and_the_processor_does_not(monkeypatch):
    assert environment.device_key(CPU) == "cpu"
    assert environment.capability(CPU) == torch.backends.cpu.get_cpu_capability()
    keys = environment.machine, environment.processor
    before = [key(CPU) for key in keys]
    assert all(re.fullmatch("[0-9a-f]{12}", digest) for digest in before)
    shown = torch.__config__.show()
    usage = f"CPU capability usage: {torch.backends.cpu.get_cpu_capability()}"
    assert usage in shown
    monkeypatch.setattr("torch.__config__.show", lambda: shown.replace(usage, "CPU capability usage: OTHER"))
    for key in keys:
        key.cache_clear()
    try:
        assert [key(CPU) == old for key, old in zip(keys, before, strict=True)] == [False, True]
    finally:
        for key in keys:
            key.cache_clear()
