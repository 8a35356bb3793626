"""torch.compile of the transformer, or of each block for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, stacks
from harness.modifiers.base import Counts
from harness.modifiers.probed import ProbedRun


def _put_back(module: nn.Module, own: Any) -> None:
    if own is None:
        del vars(module)["forward"]
    else:
        vars(module)["forward"] = own


class Compiled(ProbedRun):
    """Compiled by torch's own backend. The compiled functions are kept as long as the lab.

    What runs inside them is not seen from outside, so that a plan's blocks aren't traced.
    """

    blocks_traced = False
    _calls = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The forward of the model, or of each block, replaced."""
        model = self.target.transformer
        self._calls = 0
        with ExitStack() as contexts:
            for name, module in self._modules(model):
                key = ("compile", self.target.placed.choice, name)
                compiled = self.target.calibrations.of(key, partial(torch.compile, module.forward))
                # A hook of diffusers or accelerate may have put a forward of its own on the module.
                own = vars(module).get("forward")
                vars(module)["forward"] = partial(self._counted, compiled)
                contexts.callback(_put_back, module, own)
            yield

    def _modules(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        if self.target.placed.choice == "whole":
            return [("", model)]
        lists = {attribute: blocks_at(model, attribute) for attribute in stacks(model).values()}
        return [(f"{name}.{i}", blocks[i]) for name, blocks in lists.items() for i in range(len(blocks))]

    def _counted(self, compiled: Any, *args: Any, **kwargs: Any) -> Any:
        self._calls += 1
        return compiled(*args, **kwargs)

    def check(self, counts: Counts) -> None:
        """The compiled functions were called, and torch has compiled something."""
        if self._calls < counts.forwards or not torch._dynamo.utils.counters["frames"]["ok"]:  # noqa: SLF001 - no other
            raise SurgeryError(f"{self.target.placed}: {self._calls} compiled calls in {counts.forwards} forwards")
