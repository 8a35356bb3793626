"""Layerwise casting: weights stored in fewer bits, and cast up for each layer's own forward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers.hooks import HookRegistry

from harness.errors import SurgeryError
from harness.modifiers.base import Counts
from harness.modifiers.probed import ProbedRun
from harness.modifiers.weights import kept_parameters

_DTYPES = {"fp8-e4m3": torch.float8_e4m3fn, "fp8-e5m2": torch.float8_e5m2, "bf16": torch.bfloat16}
_HOOK = "layerwise_casting"


class LayerwiseCasting(ProbedRun):
    """diffusers' ``enable_layerwise_casting`` with the storage of that name, computing in the model's own dtype."""

    _cast = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The weights cast down; afterwards they are the ones of before."""
        model = self.target.transformer
        storage = _DTYPES[self.target.placed.choice]
        layers = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
        with kept_parameters(layers):
            try:
                model.enable_layerwise_casting(storage_dtype=storage, compute_dtype=model.dtype)
                self._cast = sum(parameter.dtype is storage for parameter in model.parameters())
                yield
            finally:
                for module in model.modules():
                    registry = getattr(module, "_diffusers_hook", None)
                    if isinstance(registry, HookRegistry) and registry.get_hook(_HOOK) is not None:
                        # It refuses to go, as it can't give back what casting lost; the parameters are put back here.
                        registry.get_hook(_HOOK).deinitalize_hook = lambda module: module
                        registry.remove_hook(_HOOK, recurse=False)

    def check(self, counts: Counts) -> None:
        """Some weights were stored in fewer bits."""
        if not self._cast or not counts.forwards:
            raise SurgeryError(f"{self.target.placed}: no weight was stored in another dtype")
