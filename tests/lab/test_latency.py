"""Control and variant take turns, the model is left as it was, and peak memory is CUDA's to tell."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.case import by_hand
from harness.lab.latency import WARM_UP, ForwardPairs, measure_latency, peak_bytes, time_pairs
from harness.surgery.view import BlockView


@pytest.fixture
def case(lab):
    return by_hand("flux-tiny", lab.checkpoint.stacks, "double: 0 2-4")


@pytest.fixture
def forwards(lab):
    """What each forward of the model runs under while this fixture lives: "C" for the control, "V" for a variant."""
    log = []

    def note(transformer, _):
        log.append("V" if isinstance(transformer.transformer_blocks, BlockView) else "C")

    hook = lab.transformer.register_forward_pre_hook(note)
    yield log
    hook.remove()


def test_control_and_variant_take_turns(lab, case, forwards):
    with ForwardPairs(lab, case) as pairs:
        forwards.clear()  # the pipeline's own, from which the arguments are taken
        seconds = time_pairs(pairs, 4)
    assert "".join(forwards) == "CV VC CV VC CV".replace(" ", "")
    assert len(seconds) == len(pairs.control) - WARM_UP == 4
    assert all(second > 0 for second in (*seconds, *pairs.control))


def test_a_latency_holds_both_times_of_every_pair_and_what_follows_from_them(lab, case, forwards):
    latency = measure_latency(lab, case, rounds=6)
    assert len(latency.control) == len(latency.variant) == 6
    assert latency.low <= latency.ratio <= latency.high
    assert latency.theory == pytest.approx(15 / 14)  # one of 5 + 10 blocks is skipped
    assert latency.batch == 4
    if lab.device.type == "cpu":
        assert latency.peak_bytes is latency.control_peak_bytes is None
        assert latency.image == lab.image_time
        assert forwards.count("V") == 6 + WARM_UP


def test_a_loop_of_the_callers_own_times_the_variant(lab, case):
    latency = measure_latency(
        lab, case, rounds=4, loop=lambda pairs, rounds: [1e3 + t for t in time_pairs(pairs, rounds)]
    )
    assert all(1e3 < seconds < 1e4 for seconds in latency.variant)
    assert latency.ratio < 1e-2


def test_the_model_is_left_as_it_was(lab, case):
    blocks = lab.transformer.transformer_blocks
    with ForwardPairs(lab, case) as pairs:
        assert isinstance(lab.transformer.transformer_blocks, BlockView)
        with pairs.without_variant():
            assert lab.transformer.transformer_blocks is blocks
        assert isinstance(lab.transformer.transformer_blocks, BlockView)
    assert lab.transformer.transformer_blocks is blocks

    def refuse(*_):
        raise RuntimeError("out of memory")

    hook = lab.transformer.register_forward_pre_hook(refuse)
    with pytest.raises(RuntimeError, match="out of memory"):
        measure_latency(lab, case)
    hook.remove()
    assert lab.transformer.transformer_blocks is blocks


def test_a_lab_without_images_is_timed_as_well(random_labs):
    for lab in random_labs.values():
        stack = next(iter(lab.checkpoint.stacks))
        length = lab.checkpoint.stacks[stack]
        latency = measure_latency(
            lab, by_hand(lab.checkpoint.name, lab.checkpoint.stacks, f"{stack}: 0-{length - 2}"), rounds=8
        )
        assert latency.theory > 1
        assert 0 < latency.low <= latency.ratio <= latency.high


def test_a_cpu_has_no_peak_and_runs_nothing_for_it():
    assert peak_bytes(torch.device("cpu"), lambda: pytest.fail("ran a forward")) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_peak_of_a_forward_holds_what_it_made():
    device = torch.device("cuda")
    size = 2**20
    assert peak_bytes(device, lambda: torch.zeros(size, device=device) + 1) >= 2 * 4 * size
