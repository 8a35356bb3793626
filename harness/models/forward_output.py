"""The one tensor that a forward of a transformer is about, whatever the model wraps it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def output_of(transformer: nn.Module, arguments: Mapping[str, Any]) -> Tensor:
    """The output (N, ...) of a forward with these arguments, ``return_dict=False`` among them.

    Most models return a tuple, some the tensor itself (Kandinsky 5), and some a list with one tensor an image in the
    tuple (Z-Image), which is stacked.
    """
    output = transformer(**arguments)
    first = output if isinstance(output, Tensor) else output[0]
    return torch.stack(first) if isinstance(first, list) else first
