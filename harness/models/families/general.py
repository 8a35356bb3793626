"""Any text-to-image pipeline: what it does is watched in its own call.

Nothing of one model is written here. A prompt is encoded by a call of the pipeline that is stopped as soon as it asks
for its first latents: what its own ``encode_prompt`` returned until then, for the prompt and where it is guided for the
negative prompt, are the embeddings. With the arguments of that ``prepare_latents`` the latents of each image are drawn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Never

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from harness.errors import CheckpointError, first_line
from harness.models.checkpoints.class_source import PipelineSource, pipeline_source
from harness.models.families.base import Conditions, FamilyAdapter, Patches, StandardNormal, TextEncoder
from harness.models.spec import Family, Settings

_NEGATIVE = "negative_"  # before the names of what belongs to the negative prompt
_ENCODER = "text_encoder"
_STILL = "ablate(pipeline, plan) works on it as it is"
# What a pipeline raises that is called with what it can't use.
_FAILURES = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, NotImplementedError)


class General(FamilyAdapter):
    """A pipeline that is known by the source of its class.

    An adapter is of one loaded pipeline: it remembers how that asked for its first latents.
    """

    def __init__(self, family: Family) -> None:
        super().__init__(family)
        source = pipeline_source(family.pipeline)
        if source is None:
            raise CheckpointError(f"the installed diffusers has no {family.pipeline}; upgrade it")
        self._source: PipelineSource = source
        self._asked: dict[tuple[int, int], dict[str, Any]] = {}  # by (height, width): the arguments of prepare_latents
        self._taken: dict[tuple[int, int], int] = {}  # which of the tensors of `_candidates` the pipeline takes back

    def encoding_batch(self, batch: int) -> int:  # noqa: ARG002 - the same for all
        """One: a prompt's embeddings are its own, without padding to its neighbours' lengths."""
        return 1

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """Whatever the pipeline's own ``encode_prompt`` returns and its call takes, of one prompt.

        Raises CheckpointError where the prompts aren't the first dimension of one of them.
        """
        (prompt,) = prompts
        returned: list[Any] = []
        self._watch(
            pipeline,
            settings,
            {
                "prompt": [prompt],
                "generator": [torch.Generator()],
                **self.plain_prompt_arguments(settings, 1),
                **self.prompt_inputs(prompts),
            },
            returned.append,
        )
        if len(returned) > 1 and any(each.startswith(_NEGATIVE) for each in self._source.returned or ()):
            raise CheckpointError(
                f"{type(pipeline).__name__} encodes a prompt {len(returned)} times, and which is which isn't "
                f"known; {_STILL}"
            )
        conditions: Conditions = {}
        for prefix, values in zip(("", _NEGATIVE), returned, strict=False):
            parts = values if isinstance(values, tuple) else (values,)
            for name, value in zip(self._source.returned or (), parts, strict=False):
                full = prefix + name
                tensor = value[0][None] if full in self._source.listed and value else value
                if full in self._source.parameters and isinstance(tensor, Tensor):
                    conditions[full] = tensor
        wrong = [name for name, value in conditions.items() if len(value) != 1]
        if wrong or "prompt_embeds" not in conditions:
            raise CheckpointError(
                f"the encode_prompt of {type(pipeline).__name__} gives {', '.join(wrong) or 'no prompt_embeds'}"
                f"{' with the prompts in another dimension than the first' if wrong else ''}, so its prompts can't be"
                f" kept one by one; {_STILL}"
            )
        return conditions

    def together(self, conditions: Sequence[Conditions]) -> bool:
        """Whether embeddings fit into one batch: equally long, or with a mask or a list for what is shorter."""
        lengths = {
            tuple(len(value[0]) for name, value in one.items() if self._needs_length(name)) for one in conditions
        }
        return len(lengths) <= 1

    def _needs_length(self, name: str) -> bool:
        """Whether an embedding can't be padded: its pipeline takes neither a list nor a mask of it."""
        return name.endswith("embeds") and name not in self._source.listed and not self._mask(name)

    def _mask(self, name: str) -> str:
        """The parameter that holds the mask of an embedding; empty where there is none."""
        options = (f"{name}_mask", name.replace("embeds", "attention_mask"))
        return next((option for option in options if option != name and option in self._source.parameters), "")

    def call_arguments(self, conditions: Sequence[Conditions]) -> dict[str, Any]:
        """The embeddings of several prompts as the pipeline takes them, the shorter padded at their ends and masked."""
        arguments: dict[str, Any] = {}
        for name in conditions[0]:
            values = [one[name] for one in conditions]
            mask = self._mask(name) if name.endswith("embeds") else ""
            if name in self._source.listed:
                arguments[name] = [value[0] for value in values]
            elif mask:
                # Of ones where the pipeline gave none, since nothing was padded.
                ones = [torch.ones_like(value[..., 0], dtype=torch.long) for value in values]
                masks = [one.get(mask, whole) for one, whole in zip(conditions, ones, strict=True)]
                longest = max(value.shape[1] for value in values)
                arguments[name] = torch.cat([_padded(value, longest) for value in values])
                arguments[mask] = torch.cat([_padded(each, longest) for each in masks])
            elif name not in arguments:
                arguments[name] = torch.cat(values)
        # A default of the call's own would be a second negative prompt beside the tensors.
        return arguments | ({"negative_prompt": None} if "negative_prompt" in self._source.parameters else {})

    def learn(self, pipeline: Any, settings: Settings, arguments: Callable[[], Mapping[str, Any]]) -> None:
        """Have the pipeline ask for its first latents once for each size; ``arguments`` gives a prompt's embeddings."""
        if (settings.height, settings.width) not in self._asked:
            self._watch(pipeline, settings, {**arguments(), "generator": [torch.Generator()]}, lambda _: None)

    def _watch(
        self, pipeline: Any, settings: Settings, arguments: Mapping[str, Any], encoded: Callable[[Any], object]
    ) -> None:
        """Call the pipeline until it asks for its first latents; ``encoded`` gets what ``encode_prompt`` returns."""
        encode, prepare = pipeline.encode_prompt, pipeline.prepare_latents

        def encode_prompt(*positional: Any, **named: Any) -> Any:
            result = encode(*positional, **named)
            encoded(result)
            return result

        def prepare_latents(*positional: Any, **named: Any) -> Never:
            asked = inspect.signature(prepare).bind(*positional, **named).arguments
            self._asked[settings.height, settings.width] = dict(asked)
            raise _AskedForLatents

        with _replaced(pipeline, encode_prompt=encode_prompt, prepare_latents=prepare_latents):
            try:
                pipeline(**arguments, **self.arguments(settings), output_type="pt")
            except _AskedForLatents:
                pipeline.maybe_free_model_hooks()
                return
            except torch.OutOfMemoryError:
                raise
            except _FAILURES as error:
                raise CheckpointError(
                    f"{type(pipeline).__name__} can't be called with prompts alone: {first_line(error)}; {_STILL}"
                ) from error
        raise CheckpointError(
            f"{type(pipeline).__name__} made images without asking prepare_latents for its first latents; {_STILL}"
        )

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """The latents that the pipeline takes for those that it would have drawn itself: packed, or as they are drawn.

        :meth:`learn` has been called for the settings. Raises CheckpointError where it takes neither.
        """
        size = (settings.height, settings.width)
        own = {"batch_size": 1, "dtype": torch.float32, "device": torch.device("cpu"), "latents": None}
        asked = {**self._asked[size], **own, "generator": generator}
        with _Draws() as draws:
            start = _first(pipeline.prepare_latents(**asked))
        candidates = [start, *draws.tensors]
        if size not in self._taken:
            for number, latents in enumerate(candidates):
                if _takes(pipeline, {**asked, "latents": latents.clone()}, start):
                    self._taken[size] = number
                    break
            else:
                raise CheckpointError(
                    f"the prepare_latents of {type(pipeline).__name__} doesn't take back the latents that it draws, so "
                    f"an image can't be made twice from the same ones; {_STILL}"
                )
        return candidates[self._taken[size]]

    def latents_dtype(self, pipeline: Any, settings: Settings) -> torch.dtype:  # noqa: ARG002
        """The dtype in which the pipeline draws: some keep their latents in fp32 beside a transformer in bf16."""
        dtype = self._asked[settings.height, settings.width].get("dtype")
        return dtype if isinstance(dtype, torch.dtype) else torch.float32

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Size, steps, guidance and text length, by the names that the pipeline has for them."""
        wanted = {
            "height": settings.height,
            "width": settings.width,
            "num_inference_steps": settings.steps,
            self._source.guidance: settings.guidance,
            "max_sequence_length": settings.max_sequence_length,
            "use_resolution_binning": False,  # the size is the one that was asked for
            "clean_caption": False,  # it would depend on whether two other packages are installed
        }
        return {name: value for name, value in wanted.items() if name in self._source.parameters}

    def plain_prompt_arguments(self, settings: Settings, prompts: int) -> dict[str, Any]:
        """A negative prompt each, where the pipeline takes one; whether it guides is its own matter."""
        own = "negative_prompt" in self._source.parameters
        return {"negative_prompt": [settings.negative_prompt] * prompts} if own else {}

    def on_step(self, keep: Callable[[int, Tensor], None]) -> dict[str, Any]:
        """Arguments of a call that have it call ``keep`` after each step; the older pipelines have another callback."""
        if "callback_on_step_end" in self._source.parameters:
            return super().on_step(keep)
        return {"callback": lambda step, _time, latents: keep(step, latents), "callback_steps": 1}

    def text_encoders(self, pipeline: Any, settings: Settings) -> tuple[TextEncoder, ...]:
        """Every text encoder with its tokenizer. What the pipeline writes around a prompt doesn't count."""
        found: list[TextEncoder] = []
        names = [name for name, part in pipeline.components.items() if name.startswith(_ENCODER) and part is not None]
        for name in names:
            tokenizer = getattr(pipeline, name.replace(_ENCODER, "tokenizer"), None)
            tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a processor of images and text holds one
            if tokenizer is not None:
                own = settings.max_sequence_length if "max_sequence_length" in self._source.parameters else None
                found.append(TextEncoder(name, tokenizer, own or tokenizer.model_max_length, required=len(names) == 1))
        return tuple(found)

    def text_tokens(self, masks: Mapping[str, Tensor], length: int, transformer: nn.Module) -> Tensor:  # noqa: ARG002
        """Not known. Raises CheckpointError."""
        raise self._unknown("which tokens of its text stream are the prompt's")

    def patches(self, config: Mapping[str, Any]) -> Patches:  # noqa: ARG002
        """Not known. Raises CheckpointError."""
        raise self._unknown("how its transformer cuts latents into image tokens")

    def random_inputs(
        self,
        config: Mapping[str, Any],  # noqa: ARG002
        settings: Settings,  # noqa: ARG002
        grid: tuple[int, int],  # noqa: ARG002
        normal: StandardNormal,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Not known. Raises CheckpointError."""
        raise self._unknown("what its transformer takes")

    def latents_from_pixels(self, pipeline: Any, pixels: Tensor) -> Tensor:  # noqa: ARG002
        """Not known. Raises CheckpointError."""
        raise self._unknown("how pixels become its latents")

    def _unknown(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.family.pipeline} has no adapter of its own in harness/models/families, so it isn't known {what}: "
            "the analysis of layers and random weights need one; cases run without"
        )


class _AskedForLatents(Exception):  # noqa: N818 - no error
    """Ends a call of a pipeline once it has asked for its first latents."""


class _Draws(TorchFunctionMode):
    """Keeps what ``torch.randn`` gives while it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: list[Tensor] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch.randn:
            self.tensors.append(result)
        return result


@contextmanager
def _replaced(pipeline: Any, **methods: Callable[..., Any]) -> Iterator[None]:
    """Methods of one pipeline replaced meanwhile."""
    for name, method in methods.items():
        vars(pipeline)[name] = method
    try:
        yield
    finally:
        for name in methods:
            del vars(pipeline)[name]


def _first(returned: Any) -> Tensor:
    """The latents of what ``prepare_latents`` returns: some give positions behind them."""
    latents = returned[0] if isinstance(returned, tuple) else returned
    assert isinstance(latents, Tensor)
    return latents


def _takes(pipeline: Any, asked: Mapping[str, Any], start: Tensor) -> bool:
    """Whether the pipeline, asked with latents, starts from the ones it would have drawn."""
    try:
        return torch.equal(_first(pipeline.prepare_latents(**asked)), start)
    except (ValueError, RuntimeError, IndexError):  # of another shape
        return False


def _padded(tensor: Tensor, length: int) -> Tensor:
    """(1, T, ...) with zeros behind, as (1, length, ...)."""
    missing = length - tensor.shape[1]
    return functional.pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, missing)) if missing else tensor
