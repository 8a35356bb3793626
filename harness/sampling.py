"""Images through a pipeline's own ``__call__``, with cached prompt embeddings and given initial latents.

No sampling loop is rewritten here: a change in a pipeline or a scheduler must show. What differs
between families is only how prompts are encoded and which arguments the call takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.errors import PromptError
from harness.registry import Settings

# In this order, on every device: the fused CPU kernel and the math one differ by 1.6e-2 in bf16.
BACKENDS = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)

Conditions = dict[str, Tensor]


class Adapter(Protocol):
    """What one family's pipeline needs. Every tensor of ``encode`` has the prompts as its first dimension."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """What the pipeline makes of prompts, as arguments of its call."""
        ...

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """Initial latents of one image, fp32 on the CPU, by the pipeline's own drawing."""
        ...

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """The other arguments of the call."""
        ...

    def tokens(self, pipeline: Any, prompt: str) -> int:
        """The length of a prompt in the encoder that ``max_sequence_length`` bounds."""
        ...


class Flux:
    """FluxPipeline: T5 states, CLIP's pooled vector, packed latents."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """T5 states (N, tokens, d) and CLIP's pooled vector (N, d)."""
        states, pooled, _ = pipeline.encode_prompt(
            prompt=list(prompts), prompt_2=None, max_sequence_length=settings.max_sequence_length
        )
        return {"prompt_embeds": states, "pooled_prompt_embeds": pooled}

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """(1, tokens, channels) packed latents, by the pipeline's own drawing."""
        channels = pipeline.transformer.config.in_channels // 4
        latents, _ = pipeline.prepare_latents(
            1, channels, settings.height, settings.width, torch.float32, torch.device("cpu"), generator
        )
        return latents

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Everything with a default that suits no small model is given."""
        return {
            "height": settings.height,
            "width": settings.width,
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            "max_sequence_length": settings.max_sequence_length,
        }

    def tokens(self, pipeline: Any, prompt: str) -> int:
        """T5 tokens of a prompt, the end token included."""
        return len(pipeline.tokenizer_2(prompt, truncation=False).input_ids)


ADAPTERS: dict[str, Adapter] = {"flux": Flux()}


@dataclass(frozen=True)
class Samples:
    """``images`` are (N, 3, H, W) float32 in 0..1 as the pipeline gave them, ``latents`` its last ones; on the CPU."""

    images: Tensor
    latents: Tensor

    def sha256(self) -> str:
        """Of the latents' bytes, as fp32."""
        return hashlib.sha256(self.latents.float().contiguous().numpy().tobytes()).hexdigest()


def generator_for(prompt: str, seed: int) -> torch.Generator:
    """A CPU generator that depends on the prompt's text and the seed alone, not on its place in a list."""
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:7], "big"))


@contextmanager
def pinned() -> Iterator[None]:
    """Inference with fixed attention kernels and without TF32 (which torch leaves on for convolutions)."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        with torch.inference_mode(), sdpa_kernel(list(BACKENDS), set_priority=True):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


class Sampler:
    """One loaded pipeline and its settings, with the prompts encoded once."""

    def __init__(self, pipeline: Any, family: str, settings: Settings, batch: int) -> None:
        self.pipeline = pipeline
        self.adapter = ADAPTERS[family]
        self.settings = settings
        self.batch = batch
        self._conditions: dict[str, Conditions] = {}
        pipeline.set_progress_bar_config(disable=True)

    @property
    def transformer(self) -> nn.Module:
        """The pipeline's transformer."""
        found = self.pipeline.transformer
        assert isinstance(found, nn.Module)
        return found

    def check(self, prompts: Sequence[str]) -> None:
        """Raise PromptError for a prompt that the encoder would cut off."""
        for number, prompt in enumerate(prompts, start=1):
            length = self.adapter.tokens(self.pipeline, prompt)
            if length > self.settings.max_sequence_length:
                raise PromptError(
                    f"prompt {number} has {length} tokens, the text encoder takes {self.settings.max_sequence_length} "
                    f"(the rest would be cut off silently): {prompt[:60]!r}; shorten it"
                )

    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """The prompts' embeddings, encoded once each (in one batch for those not yet known)."""
        fresh = [p for p in dict.fromkeys(prompts) if p not in self._conditions]
        for start in range(0, len(fresh), self.batch):
            part = fresh[start : start + self.batch]
            with pinned():
                encoded = self.adapter.encode(self.pipeline, part, self.settings)
            for i, prompt in enumerate(part):
                self._conditions[prompt] = {k: v[i : i + 1].clone() for k, v in encoded.items()}
        return {name: torch.cat([self._conditions[p][name] for p in prompts]) for name in self._conditions[prompts[0]]}

    def noise(self, prompts: Sequence[str], seed: int) -> Tensor:
        """(N, ...) fp32 initial latents, one draw per (prompt, seed)."""
        return torch.cat([self.adapter.noise(self.pipeline, self.settings, generator_for(p, seed)) for p in prompts])

    def sample(self, prompts: Sequence[str], seed: int) -> Samples:
        """Images of the prompts, in batches, through ``pipeline.__call__``."""
        images: list[Tensor] = []
        latents: list[Tensor] = []
        for start in range(0, len(prompts), self.batch):
            part = list(prompts[start : start + self.batch])
            made = self._call({**self.conditions(part), "latents": self._ready(self.noise(part, seed))})
            images.append(made.images)
            latents.append(made.latents)
        return Samples(torch.cat(images), torch.cat(latents))

    def sample_plainly(self, prompts: Sequence[str], seed: int) -> Samples:
        """The same from plain prompts and generators, through the pipeline's own encoding and drawing."""
        return self._call({"prompt": list(prompts), "generator": [generator_for(p, seed) for p in prompts]})

    def forward_arguments(self, prompts: Sequence[str], seed: int = 0) -> dict[str, Any]:
        """What the pipeline passes to the transformer at its first step, for timing and for single forwards."""
        seen: list[Mapping[str, Any]] = []

        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if args:
                raise RuntimeError("the pipeline passes positional arguments to its transformer")
            seen.append(dict(kwargs))

        handle = self.transformer.register_forward_pre_hook(note, with_kwargs=True)
        try:
            self._call({**self.conditions(prompts), "latents": self._ready(self.noise(prompts, seed))}, steps=1)
        finally:
            handle.remove()
        return dict(seen[0])

    def _ready(self, noise: Tensor) -> Tensor:
        pipeline = self.pipeline
        return noise.to(pipeline._execution_device, pipeline.transformer.dtype)  # noqa: SLF001 - offload has no other

    def _call(self, given: Mapping[str, Any], steps: int | None = None) -> Samples:
        last: list[Tensor] = []

        def keep(_pipe: Any, _step: int, _time: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            last[:] = [tensors["latents"]]
            return {}

        arguments = self.adapter.arguments(self.settings) | ({"num_inference_steps": steps} if steps else {})
        with pinned():
            images = self.pipeline(
                **given,
                **arguments,
                output_type="pt",
                callback_on_step_end=keep,
                callback_on_step_end_tensor_inputs=["latents"],
            ).images
            return Samples(images.float().cpu(), last[0].cpu())
