"""A LoRA's weights for some layers of a model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CheckpointError
from harness.models import loading
from harness.models.checkpoints.resolve import resolve

CPU = torch.device("cpu")
RANK = 2


def weights(model, layers, prefix="transformer", seed=0):
    """A LoRA's weights for some linear layers, large enough to be seen."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name.rpartition(".")[2] in layers:
            for letter, shape in (("A", (RANK, module.in_features)), ("B", (module.out_features, RANK))):
                found[f"{prefix}.{name}.lora_{letter}.weight"] = torch.randn(shape, generator=generator) * 0.3
    return found


def rewritten(file, made, change):
    """The file with other names or values."""
    save_file({key: value.clone() for key, value in change(made).items()}, str(file))
    return str(file)


def message(name, *, load=True):
    def opened():
        checkpoint = resolve("flux-tiny", lora=name)
        return loading.load(checkpoint, CPU) if load else checkpoint

    with pytest.raises(CheckpointError) as caught:
        opened()
    return str(caught.value)
