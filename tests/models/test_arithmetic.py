"""The digest of arithmetic: the same for the same bits, another one where any operation gives others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend

from harness.gates.validation.perturbations import CAPABILITIES
from harness.models.arithmetic import arithmetic
from harness.models.kernels import BACKENDS, KERNELS

CPU = torch.device("cpu")


def test_it_repeats_and_depends_on_the_dtype():
    digest = arithmetic(CPU, "float32")
    assert digest == arithmetic(CPU, "float32")
    assert digest != arithmetic(CPU, "bfloat16")
    assert len(digest) == 12


@pytest.mark.parametrize(
    "operation", ["linear", "conv2d", "layer_norm", "group_norm", "scaled_dot_product_attention", "gelu", "silu"]
)
def test_a_last_bit_of_any_operation_changes_it(operation, monkeypatch):
    before = arithmetic(CPU, "float32")
    own = getattr(torch.nn.functional, operation)

    def moved(*args, **kwargs):
        result = own(*args, **kwargs)
        result.view(-1)[0] = torch.nextafter(result.reshape(-1)[0], torch.tensor(torch.inf))
        return result

    monkeypatch.setattr(torch.nn.functional, operation, moved)
    assert arithmetic(CPU, "float32") != before


def test_attention_kernels_that_were_chosen_are_part_of_it():
    usual = arithmetic(CPU, "float32")
    KERNELS.set((SDPBackend.MATH,))
    try:
        assert arithmetic(CPU, "float32") != usual
    finally:
        KERNELS.set(BACKENDS)


def test_no_fault_of_diffusers_or_transformers_can_change_it():
    """Nothing of them is loaded; and another instruction set is other arithmetic, which no name of a processor says."""
    script = "import sys, torch; from harness.models.arithmetic import arithmetic as a; "
    script += "print(a(torch.device('cpu'), 'float32'), torch.backends.cpu.get_cpu_capability()); "
    script += "assert not {'diffusers', 'transformers'} & set(sys.modules)"

    def digest(**variables):
        done = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    here, plain = digest(), digest(**CAPABILITIES["default"])
    assert here[0] == arithmetic(CPU, "float32")
    assert (here[0] == plain[0]) == (here[1] == plain[1])
