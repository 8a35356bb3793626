"""Random weights of hundreds of megabytes are made once, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_there_is_no_second_copy():
    code = (
        "import dataclasses, resource, torch\n"
        "from harness.models.random_weights.checkpoint import resolve\n"
        "from harness.models.random_weights.weights import build\n"
        "made = resolve('flux.1-schnell', 'random:small', dtype='float32')\n"
        "build(made, torch.device('cpu'), torch.float32)\n"
        "config = {**made.config, 'num_attention_heads': 12}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "model = build(dataclasses.replace(made, config=config), torch.device('cpu'), torch.float32)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print((after - before) * 1024, sum(p.numel() * 4 for p in model.parameters()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, weights = map(int, done.stdout.split())
    assert weights > 5e8
    assert grown < 1.2 * weights
