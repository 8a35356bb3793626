"""The fingerprint: one function lists its fields, for labs that make images and for those that don't."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.lab.lab import Lab
from harness.lab.random_lab import RandomLab
from harness.models import environment
from harness.models.checkpoints.resolve import resolve
from harness.models.random_weights import checkpoint as random_weights
from harness.results.fingerprint import Fingerprint

CPU = torch.device("cpu")


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
    )


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
