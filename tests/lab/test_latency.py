"""Peak memory is CUDA's to tell."""

from __future__ import annotations

import pytest
import torch

from harness.lab.latency import peak_bytes


def test_a_cpu_has_no_peak_and_runs_nothing_for_it():
    assert peak_bytes(torch.device("cpu"), lambda: pytest.fail("ran a forward")) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_peak_of_a_forward_holds_what_it_made():
    device = torch.device("cuda")
    size = 2**20
    assert peak_bytes(device, lambda: torch.zeros(size, device=device) + 1) >= 2 * 4 * size
