"""What a family's file must provide: how its pipeline is called, and what goes into its transformer.

What can be said of a family without torch stands in :mod:`harness.models.spec`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.spec import Family, Settings

Conditions = dict[str, Tensor]  # arguments of the pipeline's call; the prompts are the first dimension of each


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder's token limit, special tokens included. ``required``: no other encoder sees the truncated tail.

    ``name`` is the encoder's in the pipeline.
    """

    name: str
    tokenizer: Any
    limit: int
    required: bool

    def length(self, prompt: str) -> int:
        """The tokens of a prompt, special ones included."""
        return len(self.tokenizer(prompt, truncation=False, verbose=False).input_ids)

    def mask(self, prompts: Sequence[str]) -> Tensor:
        """(N, limit) bool: the tokens of each prompt that are not padding, on the side where its tokenizer has them."""
        tokens = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.limit,
            truncation=True,
            return_attention_mask=True,
            verbose=False,
        )
        return torch.tensor(tokens["attention_mask"], dtype=torch.bool)


@dataclass(frozen=True)
class Patches:
    """How a transformer cuts latents into image tokens: ``side`` x ``side`` latents each.

    ``most`` is the number of tokens a side that it has positions for; None where there is no limit.
    """

    side: int
    most: int | None = None


class StandardNormal:
    """Standard normal tensors by shape: drawn in fp32 on the CPU one after the other, then moved and cast."""

    def __init__(self, seed: int, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        """The next tensor."""
        return torch.randn(*shape, generator=self._generator).to(self.device, self.dtype)


class FamilyAdapter(ABC):
    """The pipeline and the transformer of one family. A subclass holds no state beside its entry in the table."""

    def __init__(self, family: Family) -> None:
        self.family = family

    @abstractmethod
    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """Embeddings of the prompts, as arguments of the pipeline's call; under guidance the negative prompt's, too.

        The states of the text stream are called ``prompt_embeds``, (N, tokens, d).
        """

    @abstractmethod
    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """Initial latents (1, ...) of one image in the transformer's layout, fp32 on the CPU, as the pipeline draws."""

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """The other arguments of the pipeline's call: all whose defaults don't suit every checkpoint."""
        return {
            "height": settings.height,
            "width": settings.width,
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            "max_sequence_length": settings.max_sequence_length,
        }

    def plain_prompt_arguments(self, settings: Settings, prompts: int) -> dict[str, Any]:  # noqa: ARG002
        """Arguments of a call with so many prompts as text, beside those of :meth:`arguments`: the negative prompt.

        A call with the tensors of :meth:`encode` has it among them.
        """
        return {"negative_prompt": settings.negative_prompt} if self.family.guided(settings) else {}

    def prompt_inputs(self, prompts: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002 - most take nothing else
        """What the pipeline's call takes of these prompts beside their embeddings, such as the picture of each."""
        return {}

    def layers(self, images: Any) -> Tensor | None:  # noqa: ARG002 - most make images
        """(N, L, 4, H, W) uint8 RGBA layers of what a call returned as images; None where those are images."""
        return None

    def encoding_batch(self, batch: int) -> int:
        """How many prompts :meth:`encode` takes at once, where ``batch`` images are made at once."""
        return batch

    def together(self, conditions: Sequence[Conditions]) -> bool:  # noqa: ARG002 - most are of one length
        """Whether the embeddings of several prompts fit into one batch."""
        return True

    def call_arguments(self, conditions: Sequence[Conditions]) -> dict[str, Any]:
        """Arguments of the pipeline's call for the embeddings of several prompts."""
        return {name: torch.cat([one[name] for one in conditions]) for name in conditions[0]}

    def learn(  # noqa: B027 - most have nothing to learn
        self, pipeline: Any, settings: Settings, arguments: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Called before :meth:`noise`; ``arguments`` gives those of a call with one prompt, without its latents."""

    def latents_dtype(self, pipeline: Any, settings: Settings) -> torch.dtype:  # noqa: ARG002 - one for all
        """The dtype of the latents that the pipeline's call takes."""
        dtype: torch.dtype = pipeline.transformer.dtype
        return dtype

    def on_step(self, keep: Callable[[int, Tensor], None]) -> dict[str, Any]:
        """Arguments of the pipeline's call that have it call ``keep(step, latents)`` after each step, from 0 on."""

        def callback(_pipe: Any, step: int, _time: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            keep(step, tensors["latents"])
            return {}

        return {"callback_on_step_end": callback, "callback_on_step_end_tensor_inputs": ["latents"]}

    @abstractmethod
    def text_encoders(self, pipeline: Any, settings: Settings) -> tuple[TextEncoder, ...]:
        """The text encoders that a prompt goes through."""

    @abstractmethod
    def text_tokens(self, masks: Mapping[str, Tensor], length: int, transformer: nn.Module) -> Tensor:
        """(N, length) bool: which places of the transformer's text stream hold tokens of the prompt, not padding.

        ``masks`` are those of :meth:`text_encoders` by name, (N, limit) each. ``length`` is that of
        ``prompt_embeds``, to which the transformer may add tokens of its own.
        """

    @abstractmethod
    def patches(self, config: Mapping[str, Any]) -> Patches:
        """How a transformer of that config cuts latents into image tokens."""

    @abstractmethod
    def random_inputs(
        self, config: Mapping[str, Any], settings: Settings, grid: tuple[int, int], normal: StandardNormal
    ) -> dict[str, Tensor]:
        """Random arguments of one forward in the shapes and dtypes that the pipeline passes, except for the timestep.

        ``config`` is the transformer's, ``grid`` the rows and columns of image tokens. Latents, text states and
        pooled vectors are drawn from ``normal``, for ``settings.batch`` images.
        """

    @abstractmethod
    def latents_from_pixels(self, pipeline: Any, pixels: Tensor) -> Tensor:
        """(N, ...) fp32 latents of (N, 3, H, W) images in 0..1, in the transformer's layout, on the CPU.

        The pipeline decodes them to the same images.
        """


def unpacked_noise(pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
    """(1, channels, height, width) latents of one image, by the pipeline's own drawing."""
    channels = pipeline.transformer.config.in_channels
    return pipeline.prepare_latents(
        1, channels, settings.height, settings.width, torch.float32, torch.device("cpu"), generator
    )


def vae_latents(pipeline: Any, pixels: Tensor, *, shift: float) -> Tensor:
    """(N, channels, h, w) fp32 latents of (N, 3, H, W) images in 0..1, shifted and scaled, on the CPU.

    The mode of the VAE's posterior, image by image: an image's latents don't depend on its neighbours.
    """
    vae = pipeline.vae
    latents: list[Tensor] = []
    for image in pixels:
        ready = (2 * image[None] - 1).to(pipeline._execution_device, vae.dtype)  # noqa: SLF001 - offload has no other
        latent = vae.encode(ready).latent_dist.mode().float().cpu()
        latents.append((latent - shift) * vae.config.scaling_factor)
    return torch.cat(latents)
