"""A tensor is got out of every form in which transformers return it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.models.forward_output import output_of

WRAPPED = {"tuple": lambda x: (x, None), "bare": lambda x: x, "list": lambda x: (list(x),)}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_output_is_one_tensor_of_all_rows(wrap):
    class Model(nn.Module):
        def forward(self, x, return_dict):
            assert not return_dict
            return wrap(2 * x)

    x = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(output_of(Model(), {"x": x, "return_dict": False}), 2 * x)
