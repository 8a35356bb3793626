"""Precision by range: the weights of linear layers rounded to what few bits hold, computed in the model's own dtype.

Which layers have to stay in high precision is then a question that a grid of cases answers. It says what the rounding
of the weights does to images; no time is saved, as nothing is computed in fewer bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, find_stack, stacks
from harness.modifiers.base import Counts, ModifierRun, Target, refuse
from harness.modifiers.weights import kept_parameters

_OUTSIDE = "-outside"
_PREFIX = "quant-"
_GROUP = 64  # weights of a row that share a scale, with int4
_FP8_MOST = 448.0  # the largest number of float8 e4m3


def rounded(weight: Tensor, kind: str) -> Tensor:
    """(out, in) weights as ``int8``, ``int4`` or ``fp8-e4m3`` hold them, in their own dtype.

    Symmetric, to the nearest, with a scale for each output row: the row's largest magnitude is 127, 7 or 448. For int4
    the scale is of 64 neighbours in a row, where their number divides by it.
    """
    values = weight.float()
    if kind == "int4" and values.shape[1] % _GROUP == 0:
        values = values.reshape(-1, _GROUP)
    most = {"int8": 127.0, "int4": 7.0, "fp8-e4m3": _FP8_MOST}[kind]
    scale = values.abs().amax(dim=1, keepdim=True) / most
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    scaled = values / scale
    few = scaled.to(torch.float8_e4m3fn).float() if kind == "fp8-e4m3" else scaled.round()
    return (few * scale).reshape(weight.shape).to(weight.dtype)


class RoundedWeights(ModifierRun):
    """The linear layers of the range's blocks with rounded weights; ``-outside`` those of all blocks but the range's.

    What is in no block (embeddings, the last projection) stays as it is, as quantisers leave it.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        name = target.placed.name.removeprefix(_PREFIX)
        self._kind, self._outside = name.removesuffix(_OUTSIDE), name.endswith(_OUTSIDE)
        self._changed = 0
        self._layers = self._chosen()
        if not self._layers:
            raise refuse(target.placed, "there is no linear layer to round the weights of")

    def _chosen(self) -> list[nn.Linear]:
        model = self.target.transformer
        own = find_stack(model, self.target.placed.stack)[1]
        chosen: list[nn.Linear] = []
        for attribute in stacks(model).values():
            blocks = blocks_at(model, attribute)
            for index in range(len(blocks)):
                inside = attribute == own and index in self.target.blocks
                if inside is not self._outside:
                    named = blocks[index].named_modules()
                    chosen += [m for name, m in named if isinstance(m, nn.Linear) and "lora_" not in name]
        return chosen

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The weights rounded; afterwards they are the ones of before."""
        with kept_parameters(self._layers), torch.no_grad():
            self._changed = 0
            for layer in self._layers:
                few = rounded(layer.weight.data, self._kind)
                self._changed += not torch.equal(few, layer.weight.data)
                layer.weight.data = few
            yield

    def check(self, counts: Counts) -> None:
        """Some weights were rounded."""
        if not self._changed or not counts.forwards:
            raise SurgeryError(f"{self.target.placed}: no weight of {len(self._layers)} layers changed by rounding")
