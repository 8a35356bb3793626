"""The digest of arithmetic in processes of its own: without diffusers, and under another instruction set."""

from __future__ import annotations

import os
import subprocess
import sys

import torch

from harness.gates.validation.perturbations import CAPABILITIES
from harness.models.arithmetic import arithmetic

CPU = torch.device("cpu")


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
