"""The digest of arithmetic: the same for the same bits, another one where any operation gives others."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend

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
