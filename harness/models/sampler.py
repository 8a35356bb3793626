"""Images through a pipeline's own ``__call__``, with cached prompt embeddings and given initial latents.

No sampling loop is rewritten here: a change in a pipeline or a scheduler must show. What differs
between families stands in harness.models.families.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import PromptError
from harness.models.families.base import Conditions
from harness.models.families.registry import adapter
from harness.models.kernels import pinned
from harness.models.layers import composite
from harness.models.spec import Family, Settings
from harness.models.stacks import unwrap_compiled

# Called before a run's first denoising step with 0, and after each step with the number of the one that follows: the
# pipeline's own count, since a step may take several forwards of the transformer.
Between = Callable[[int], None]


@dataclass(frozen=True)
class Samples:
    """``images`` are (N, 3, H, W) float32 in 0..1 as the pipeline gave them, ``latents`` its last ones; on the CPU.

    Of a pipeline that makes RGBA layers, ``layers`` are these, (N, L, 4, H, W) uint8, and ``images`` their composites.
    """

    images: Tensor
    latents: Tensor
    layers: Tensor | None = None

    @classmethod
    def joined(cls, several: Sequence[Samples]) -> Samples:
        """Those of several batches as one."""
        layers = [each.layers for each in several if each.layers is not None]
        return cls(
            torch.cat([each.images for each in several]),
            torch.cat([each.latents for each in several]),
            torch.cat(layers) if layers else None,
        )

    def sha256(self) -> str:
        """As :func:`latents_sha256`."""
        return latents_sha256(self.latents)


def release_memory() -> None:
    """Give back the memory of a GPU that nothing holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def latents_sha256(latents: Tensor) -> str:
    """The SHA-256 of latents' bytes, as fp32."""
    return hashlib.sha256(latents.float().contiguous().numpy().tobytes()).hexdigest()


def generator_for(prompt: str, seed: int) -> torch.Generator:
    """A CPU generator that depends on the prompt's text and the seed alone, not on its place in a list."""
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:7], "big"))


class Sampler:
    """One loaded pipeline and its settings, with the prompts encoded once."""

    def __init__(self, pipeline: Any, family: Family, settings: Settings, batch: int) -> None:
        self.pipeline = pipeline
        self.family = family
        self.adapter = adapter(family)
        self.settings = settings
        self.batch = batch
        self.ulps = 0  # how far initial latents are moved, to see what no difference makes
        self.perturbed: tuple[str, ...] = ()  # by harness.gates.validation.perturb
        self.halved = False  # after there was not enough memory for the batch
        self.on_halved: Callable[[int], None] = lambda _batch: None  # called with the new one
        self._conditions: dict[str, Conditions] = {}
        self._parked: dict[str, nn.Module] = {}  # text encoders in main memory
        pipeline.set_progress_bar_config(disable=True)

    @property
    def transformer(self) -> nn.Module:
        """The pipeline's transformer."""
        transformer = self.pipeline.transformer
        assert isinstance(transformer, nn.Module)
        return transformer

    @property
    def device_type(self) -> str:
        """``cpu`` or ``cuda``: where the transformer runs."""
        return str(self.pipeline._execution_device.type)  # noqa: SLF001 - offload has no other

    @property
    def float32(self) -> bool:
        """Whether the transformer computes in fp32."""
        return self.pipeline.transformer.dtype == torch.float32

    def forget(self) -> None:
        """Encode every prompt anew, since what encodes them has changed."""
        self._conditions.clear()

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call of the transformer by name: AuraFlow's pipeline passes the latents by position."""
        names = list(inspect.signature(type(unwrap_compiled(self.transformer)).forward).parameters)[1:]
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def check(self, prompts: Sequence[str]) -> list[str]:
        """Raise PromptError for a prompt that would lose its end; say which encoders read only a beginning.

        diffusers cuts long prompts off with no more than a log line.
        """
        notes: list[str] = []
        for encoder in self.adapter.text_encoders(self.pipeline, self.settings):
            lengths = [encoder.length(prompt) for prompt in prompts]
            longest = max(range(len(prompts)), key=lambda i: lengths[i])
            cut = sum(length > encoder.limit for length in lengths)
            if cut and encoder.required:
                raise PromptError(
                    f"prompt {longest + 1} has {lengths[longest]} tokens, {encoder.name} takes {encoder.limit} "
                    f"(the rest would be cut off silently): {prompts[longest][:60]!r}; shorten it"
                )
            if cut:
                notes.append(
                    f"{cut} of {len(prompts)} prompts are longer than the {encoder.limit} tokens of {encoder.name}, "
                    "which reads their beginnings"
                )
        return notes

    def conditions(self, prompts: Sequence[str]) -> dict[str, Any]:
        """The prompts' embeddings as arguments of the pipeline's call; each prompt is encoded once.

        Where the call takes a picture with each prompt, that is among them.
        """
        self.encode(prompts)
        embeddings = self.adapter.call_arguments([self._conditions[prompt] for prompt in prompts])
        return {**embeddings, **self.adapter.prompt_inputs(prompts)}

    def encode(self, prompts: Sequence[str]) -> None:
        """Encode the prompts that aren't known yet, in batches, and keep their embeddings."""
        fresh = [p for p in dict.fromkeys(prompts) if p not in self._conditions]
        if fresh:
            self.fetch_encoders()
        at_once = self.adapter.encoding_batch(self.batch)
        for start in range(0, len(fresh), at_once):
            part = fresh[start : start + at_once]
            with pinned():
                encoded = self.adapter.encode(self.pipeline, part, self.settings)
            for i, prompt in enumerate(part):
                self._conditions[prompt] = {k: v[i : i + 1].clone() for k, v in encoded.items()}

    def _batches(self, prompts: Sequence[str]) -> Iterator[list[str]]:
        """The prompts in the batches in which their images are made, in order.

        A batch is ended early by a prompt whose embeddings can't be padded to the others' length.
        """
        self.encode(prompts)
        batch: list[str] = []
        for prompt in prompts:
            longer = [*batch, prompt]
            if batch and (len(batch) == self.batch or not self.adapter.together([self._conditions[p] for p in longer])):
                yield batch
                longer = [prompt]
            batch = longer
        if batch:
            yield batch

    def all_conditions(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The embeddings of all prompts by ``INDEX/NAME``, to be kept for :meth:`take_conditions`."""
        self.encode(prompts)
        return {
            f"{index}/{name}": tensor
            for index, prompt in enumerate(prompts)
            for name, tensor in self._conditions[prompt].items()
        }

    def take_conditions(self, prompts: Sequence[str], kept: Mapping[str, Tensor]) -> None:
        """Take the embeddings of prompts from what :meth:`all_conditions` gave for them."""
        device = self.pipeline._execution_device  # noqa: SLF001 - offload has no other
        for key, tensor in kept.items():
            index, _, name = key.partition("/")
            conditions = dict(self._conditions.get(prompts[int(index)], {}))
            self._conditions[prompts[int(index)]] = conditions | {name: tensor.to(device)}

    def noise(self, prompts: Sequence[str], seed: int) -> Tensor:
        """(N, ...) fp32 initial latents, one draw per (prompt, seed)."""
        self.adapter.learn(self.pipeline, self.settings, lambda: self.conditions(prompts[:1]))
        drawn = [self.adapter.noise(self.pipeline, self.settings, generator_for(p, seed)) for p in prompts]
        return torch.cat([self.jitter(latents, f"{p}\n{seed}") for latents, p in zip(drawn, prompts, strict=True)])

    def jitter(self, latents: Tensor, what: str) -> Tensor:
        """Latents moved by ``ulps`` steps of the last bit, each up or down by a coin of ``what``."""
        if self.ulps:
            up = torch.rand(latents.shape, generator=generator_for(what, 0)) < 0.5
            target = torch.where(up, torch.inf, -torch.inf)
            for _ in range(self.ulps):
                latents = torch.nextafter(latents, target)
        return latents

    def sample(self, prompts: Sequence[str], seed: int, between: Between | None = None) -> Samples:
        """Images of the prompts, in batches, through ``pipeline.__call__``; every batch calls ``between`` from 0 on.

        Where there is not enough memory the batch is halved, once; ``halved`` says so from then on.
        """
        try:
            return self._sample(prompts, seed, between)
        except torch.OutOfMemoryError:
            if self.halved or self.batch == 1:
                raise
        self.halved, self.batch = True, self.batch // 2
        release_memory()
        self.on_halved(self.batch)
        return self._sample(prompts, seed, between)

    def _sample(self, prompts: Sequence[str], seed: int, between: Between | None) -> Samples:
        samples: list[Samples] = []
        for part in self._batches(prompts):
            settings = {**self.conditions(part), "latents": self._ready(self.noise(part, seed))}
            samples.append(self._call(settings, between=between))
        return Samples.joined(samples)

    def sample_plainly(self, prompts: Sequence[str], seed: int) -> Samples:
        """The same from plain prompts and generators, through the pipeline's own encoding and drawing.

        In the same batches: more images at once than the sampling takes may not fit into memory.
        """
        self.fetch_encoders()
        samples: list[Samples] = []
        for part in self._batches(prompts):
            generators = [generator_for(p, seed) for p in part]
            others = self.adapter.plain_prompt_arguments(self.settings, len(part))
            others |= self.adapter.prompt_inputs(part)
            samples.append(self._call({"prompt": part, "generator": generators, **others}))
        return Samples.joined(samples)

    def forward_arguments(self, prompts: Sequence[str], seed: int = 0) -> dict[str, Any]:
        """What the pipeline passes to the transformer at its first step, for timing and for single forwards."""
        seen: list[dict[str, Any]] = []

        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(self.named(args, kwargs))

        handle = self.transformer.register_forward_pre_hook(note, with_kwargs=True)
        try:
            self._one_step(prompts, seed)
        finally:
            handle.remove()
        return seen[0]

    def one_step(self, prompts: Sequence[str]) -> None:
        """One batch through one denoising step and the decoder, for what it takes of the memory."""
        self._one_step(prompts, seed=0)

    def _one_step(self, prompts: Sequence[str], seed: int) -> None:
        """As many images in one batch, of the first prompt alone where the others' embeddings don't fit beside it.

        A single one where the pipeline makes no two at once.
        """
        self.encode(prompts)
        if not self.adapter.together([self._conditions[prompt] for prompt in prompts]):
            prompts = [prompts[0]] * len(prompts)
        if not self.adapter.together([self._conditions[prompt] for prompt in prompts]):
            prompts = prompts[:1]
        self._call({**self.conditions(prompts), "latents": self._ready(self.noise(prompts, seed))}, steps=1)

    def park_encoders(self) -> None:
        """Move the text encoders to main memory until a prompt is encoded again: they can be half of a pipeline."""
        for name, part in self.pipeline.components.items():
            if name.startswith("text_encoder") and isinstance(part, nn.Module):
                self._parked[name] = part.to("cpu")
        # Out of the pipeline, which takes the device of its first component for its own.
        self.pipeline.register_modules(**dict.fromkeys(self._parked))
        release_memory()

    def fetch_encoders(self) -> None:
        """Bring parked text encoders back to the device."""
        device = self.pipeline._execution_device  # noqa: SLF001 - offload has no other
        self.pipeline.register_modules(**{name: part.to(device) for name, part in self._parked.items()})
        self._parked.clear()

    def _ready(self, noise: Tensor) -> Tensor:
        pipeline = self.pipeline
        dtype = self.adapter.latents_dtype(pipeline, self.settings)
        return noise.to(pipeline._execution_device, dtype)  # noqa: SLF001 - offload has no other

    def _call(self, settings: Mapping[str, Any], steps: int | None = None, between: Between | None = None) -> Samples:
        last: list[Tensor] = []

        def keep(step: int, latents: Tensor) -> None:
            last[:] = [latents]
            if between is not None:
                between(step + 1)

        arguments = self.adapter.arguments(self.settings) | ({"num_inference_steps": steps} if steps else {})
        with pinned():
            if between is not None:
                between(0)
            made = self.pipeline(
                **settings,
                **arguments,
                output_type="pt",
                **self.adapter.on_step(keep),
            ).images
            layers = self.adapter.layers(made)
            images = made.float().cpu() if layers is None else composite(layers.float().div(255))
            return Samples(images, last[0].cpu(), layers)
