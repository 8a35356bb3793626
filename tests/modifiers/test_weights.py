"""Parameters that were replaced are put back as the very same ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.modifiers.weights import kept_parameters


def test_objects_and_values_come_back_after_an_exception():
    layer = nn.Linear(2, 3)
    weight, data, bias = layer.weight, layer.weight.data, layer.bias.data.clone()

    def failing():
        with kept_parameters([layer]):
            layer.bias.data = torch.zeros(3)
            layer.weight = nn.Parameter(torch.zeros(3, 2))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        failing()
    assert layer.weight is weight
    assert layer.weight.data.data_ptr() == data.data_ptr()
    assert torch.equal(layer.bias, bias)
