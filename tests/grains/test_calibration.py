"""Forwards of a run, kept and run again, in bins of the timestep."""

from __future__ import annotations

import pytest
import torch

from harness.errors import SurgeryError
from harness.grains.calibration import record_forwards, replay, timestep_bins, with_text_of
from harness.surgery.trace import traced
from tests.helpers import models
from tests.helpers.models import run


def steps(*timesteps):
    return [{"timestep": torch.tensor([float(t)] * 2)} for t in timesteps]


def test_forwards_are_kept_as_copies_and_run_again_bitwise():
    transformer, arguments = models.auraflow()
    latents = arguments["hidden_states"].clone()
    rest = {k: v for k, v in arguments.items() if k != "hidden_states"}

    def sample():
        with torch.no_grad():
            transformer(latents, **rest)
        latents.zero_()

    (kept,) = record_forwards(transformer, sample)
    assert torch.equal(kept["hidden_states"], arguments["hidden_states"])
    outputs = []
    handle = transformer.register_forward_hook(lambda _module, _args, output: outputs.append(output[0]))
    with traced(transformer, "single") as ran:
        replay(transformer, [kept, kept])
    handle.remove()
    assert len(ran) == 2 * 6
    assert torch.equal(outputs[0], outputs[1])
    torch.testing.assert_close(outputs[0], run(transformer, arguments))
    with pytest.raises(SurgeryError, match="made no forward"):
        record_forwards(transformer, lambda: None)
    assert not transformer._forward_pre_hooks


def test_a_pair_differs_in_its_text_alone():
    _, arguments = models.flux()
    other = {k: v + 1 if isinstance(v, torch.Tensor) and k != "timestep" else v for k, v in arguments.items()}
    (pair,) = with_text_of([arguments], [other])
    changed = {k for k, v in pair.items() if isinstance(v, torch.Tensor) and not torch.equal(v, arguments[k])}
    assert changed == {"encoder_hidden_states", "pooled_projections", "txt_ids"}
    assert all(torch.equal(pair[k], other[k]) for k in changed)
    with pytest.raises(SurgeryError, match="one run has 1 forwards, the other 2"):
        with_text_of([arguments], [other, other])
    with pytest.raises(SurgeryError, match="other timesteps"):
        with_text_of(steps(1), steps(2))


def test_bins_hold_nearly_equal_numbers_of_steps():
    forwards = steps(1, 0.75, 0.5, 0.25, 1, 0.75, 0.5, 0.25)
    each = timestep_bins(forwards)
    assert len(each) == 4
    assert [each.of(t) for t in (0.25, 0.5, 0.75, 1.0)] == [0, 1, 2, 3]
    two = timestep_bins(forwards, 2)
    assert [two.of(t) for t in (0.0, 0.25, 0.5, 0.75, 2.0)] == [0, 0, 0, 1, 1]
    assert len(timestep_bins(forwards, 1)) == 1
    assert len(timestep_bins(forwards, 99)) == 4
    uneven = timestep_bins(steps(*range(10)), 3)
    assert [[uneven.of(t) for t in range(10)].count(i) for i in range(3)] in ([3, 4, 3], [3, 3, 4])
