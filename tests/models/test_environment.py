"""The device and the versions that a number is measured with, and the fingerprint's fields."""

from __future__ import annotations

import dataclasses
import re
from importlib import metadata

import pytest
import torch

from harness.errors import CheckpointError
from harness.lab.lab import Lab
from harness.lab.random_lab import RandomLab
from harness.models import environment
from harness.models.checkpoints.resolve import resolve
from harness.models.random_weights import checkpoint as random_weights
from harness.results.fingerprint import Fingerprint

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


def test_every_field_has_its_value():
    checkpoint = resolve("flux-tiny")
    found = environment.fingerprint(
        checkpoint,
        CPU,
        ("steps", "height"),
        weights="w",
        judge="j",
        prompts="p",
        metrics={"lpips": "id hash"},
        offload="group",
        machine="m",
        perturbed=("threads",),
    )
    assert found == Fingerprint(
        checkpoint="flux-tiny",
        weights="w",
        judge="j",
        prompts="p",
        sampling={"steps": checkpoint.settings.steps, "height": checkpoint.settings.height},
        device="cpu",
        dtype=checkpoint.settings.dtype,
        capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        versions=environment.versions(),
        metrics={"lpips": "id hash"},
        offload="group",
        machine="m",
        perturbed=("threads",),
        arithmetic=found.arithmetic,
    )
    assert len(found.arithmetic) == 12


def test_a_lora_adds_the_version_of_peft(tmp_path):
    pytest.importorskip("peft")
    checkpoint = dataclasses.replace(resolve("flux-tiny"), lora=tmp_path)
    with_lora = environment.fingerprint(checkpoint, CPU, (), weights="w").versions
    assert set(with_lora) - set(environment.versions()) == {"peft"}


def test_both_labs_say_the_same_of_their_surroundings():
    lab = Lab("sd3-tiny", prompts=["a large solid red circle on a grey background"], device=CPU)
    without_images = RandomLab(random_weights.resolve("sd3-tiny", "random:small"), device=CPU)
    shared = ("device", "dtype", "capability", "threads", "versions", "offload", "perturbed")
    one, other = lab.fingerprint, without_images.fingerprint
    assert [getattr(one, name) for name in shared] == [getattr(other, name) for name in shared]
    assert set(one.sampling) - set(other.sampling) == {"steps", "seeds", "negative_prompt"}
    assert (other.judge, other.prompts, other.machine, dict(other.metrics)) == ("", "", "", {})
    assert one.digest != other.digest
