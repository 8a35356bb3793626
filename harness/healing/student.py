"""The model that is trained: the teacher without the blocks that a plan leaves out, whole or under a LoRA."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.errors import OptionError
from harness.models.loading import dtype_argument, no_bars
from harness.models.stacks import stacks


def check_lora() -> None:
    """Raise OptionError where a LoRA is asked for and peft isn't installed."""
    if find_spec("peft") is None:
        raise OptionError(
            "healing with a LoRA needs peft; run: pip install 'dit-ablation-harness[lora]', or leave out --lora"
        )


class Student:
    """A pruned transformer from its folder, with the parameters that are trained.

    Those are in fp32, whatever the model's dtype. With ``lora_rank`` they are a LoRA on every linear layer of the
    blocks, and the rest is frozen in ``dtype``; without, they are all parameters. ``seed`` starts the LoRA.
    """

    def __init__(
        self,
        kind: type[nn.Module],
        folder: Path,
        device: torch.device,
        dtype: torch.dtype,
        *,
        lora_rank: int,
        seed: int,
    ) -> None:
        loader: Any = kind
        with no_bars():
            model: nn.Module = loader.from_pretrained(
                folder,
                **dtype_argument(dtype if lora_rank else torch.float32),
                use_safetensors=True,
                local_files_only=True,
            )
        self.model = model.to(device).train()
        self._adapted: Any = None
        if lora_rank:
            self._put_lora_on(lora_rank, seed)
        else:
            model.requires_grad_(True)
        self.parameters: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
        }

    def _put_lora_on(self, rank: int, seed: int) -> None:
        check_lora()
        from peft import LoraConfig, LoraModel  # an extra: only a LoRA needs it

        self.model.requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=linear_layers(self.model))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._adapted = LoraModel(self.model, config, "healing")
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()

    def finish(self, dtype: torch.dtype) -> nn.Module:
        """The trained model in eval mode and ``dtype``, a LoRA merged into its weights; nothing is trained after it."""
        if self._adapted is not None:
            self.model = self._adapted.merge_and_unload()
            self._adapted = None
        model = self.model.eval().requires_grad_(False)
        # diffusers warns of every cast, also of one to what the model has already.
        return model if all(p.dtype == dtype for p in model.parameters()) else model.to(dtype)


def linear_layers(transformer: nn.Module) -> list[str]:
    """The names of all linear layers in a transformer's blocks, which a LoRA goes on."""
    prefixes: Sequence[str] = tuple(f"{attribute}." for attribute in stacks(transformer).values())
    return [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(tuple(prefixes))
    ]
