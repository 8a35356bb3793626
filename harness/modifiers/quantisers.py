"""Quantisers of other packages on the linear layers of all blocks: what they do to images and to time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from harness.errors import SurgeryError
from harness.modifiers.base import Counts, Target, refuse
from harness.modifiers.caches import linear_layers
from harness.modifiers.probed import ProbedRun
from harness.modifiers.weights import kept_parameters

_CONFIGURATIONS = {  # of torchao.quantization
    "torchao-int8": "Int8WeightOnlyConfig",
    "torchao-int8-dynamic": "Int8DynamicActivationInt8WeightConfig",
    "torchao-fp8": "Float8WeightOnlyConfig",
}


class Quantised(ProbedRun):
    """torchao's ``quantize_`` with the configuration of that name."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._quantised = 0
        if find_spec("torchao") is None:
            raise refuse(
                target.placed, "it needs torchao, which isn't installed: pip install 'dit-ablation-harness[quant]'"
            )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The weights of the blocks' linear layers quantised; afterwards they are the ones of before."""
        quantization = import_module("torchao.quantization")
        layers = linear_layers(self.target.transformer)
        before = [layer.weight for layer in layers]
        chosen = set(map(id, layers))

        def wanted(module: nn.Module, _name: str) -> bool:
            return id(module) in chosen

        with kept_parameters(layers):
            configuration: Any = getattr(quantization, _CONFIGURATIONS[self.target.placed.choice])()
            quantization.quantize_(self.target.transformer, configuration, filter_fn=wanted)
            self._quantised = sum(now.weight is not old for now, old in zip(layers, before, strict=True))
            yield

    def check(self, counts: Counts) -> None:
        """Some layers have quantised weights."""
        if not self._quantised or not counts.forwards:
            raise SurgeryError(f"{self.target.placed}: no linear layer was quantised")
