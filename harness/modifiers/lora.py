"""A LoRA (``--dit-lora``) taken out of a range of blocks, or scaled there: which blocks carry what it has learnt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from harness.ablation.modifier import BARE
from harness.errors import SurgeryError
from harness.models.lokr_loading import LokrLayer, lokr_layers
from harness.models.stacks import find_stack
from harness.modifiers.base import Counts, ModifierRun, Target, refuse


class ScaledLora(ModifierRun):
    """The LoRA's updates in the range times a factor: 0 for ``lora-off``, percent for ``lora-scale``."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._factor = target.parameters.get(BARE, 0) / 100
        self._scaled = 0
        model, placed = target.transformer, target.placed
        attribute = find_stack(model, placed.stack)[1]
        prefixes = tuple(f"{attribute}.{index}." for index in target.blocks)
        inside = {name: m for name, m in model.named_modules() if name.startswith(prefixes)}
        self._peft: list[Any] = [m for m in inside.values() if getattr(m, "lora_A", None)]
        lokr = lokr_layers(model)
        self._lokr: dict[str, LokrLayer] = {name: layer for name, layer in lokr.items() if name in inside}
        self._modules: dict[str, nn.Module] = inside
        if not (self._peft or self._lokr):
            any_lora = bool(lokr) or any(getattr(m, "lora_A", None) for m in model.modules())
            why = (
                "the LoRA touches no block of this range" if any_lora else "there is no LoRA on the model (--dit-lora)"
            )
            raise refuse(placed, why)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The updates scaled; afterwards the model is bitwise the one with the LoRA."""
        peft = [(layer, dict(layer.scaling)) for layer in self._peft]
        lokr: list[tuple[nn.Linear, torch.Tensor]] = []
        self._scaled = 0
        try:
            for layer, scaling in peft:
                for adapter, scale in scaling.items():
                    layer.scaling[adapter] = scale * self._factor
                self._scaled += 1
            for name, update in self._lokr.items():
                linear = self._modules[name]
                assert isinstance(linear, nn.Linear)
                lokr.append((linear, linear.weight.data))
                linear.weight.data = update.merged(self._factor).to(linear.weight.device)
                self._scaled += 1
            yield
        finally:
            for layer, scaling in peft:
                layer.scaling.update(scaling)
            for linear, weight in lokr:
                linear.weight.data = weight

    def check(self, counts: Counts) -> None:
        """Some layers of the range had their updates scaled."""
        if not self._scaled or not counts.forwards:
            raise SurgeryError(f"{self.target.placed}: no layer's update was scaled")
