"""The inputs of the control's own forwards, recorded once."""

from __future__ import annotations

import pytest
import torch

from harness.lab.lab import Lab
from harness.models.kernels import pinned
from harness.search.trajectory import trajectory_inputs

PROMPTS = ["a red circle", "a blue square", "a green star"]


@pytest.mark.parametrize("name", ["flux-tiny", "sd3-tiny"])
def test_every_step_and_prompt_has_a_row_that_the_pipeline_ran(name):
    lab = Lab(name, prompts=PROMPTS, device=torch.device("cpu"))
    seen = []
    handle = lab.transformer.register_forward_hook(
        lambda _, args, kwargs, output: seen.append((lab.sampler.named(args, kwargs), output[0])), with_kwargs=True
    )
    (batch,) = trajectory_inputs(lab.sampler, PROMPTS, [1, 3])
    handle.remove()
    assert batch.rows == tuple((prompt, step) for step in range(2) for prompt in range(3))
    with torch.inference_mode(), pinned():
        output = lab.transformer(**batch.arguments)[0]
    for (prompt, index), row in zip(batch.rows, output, strict=True):
        own = seen[[1, 3][index]][1][-3:][prompt]  # the conditional half comes last
        assert torch.allclose(row, own, atol=1e-4)
    some = batch.only([4])
    assert some.rows == ((1, 1),)
    assert torch.equal(some.arguments["hidden_states"][0], batch.arguments["hidden_states"][4])
    lab.sampler.batch = 2
    parts = trajectory_inputs(lab.sampler, PROMPTS, [1, 3])
    assert [part.rows for part in parts] == [((0, 0), (1, 0)), ((0, 1), (1, 1)), ((2, 0), (2, 1))]
