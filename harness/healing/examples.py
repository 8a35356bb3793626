"""What a student is trained on: the teacher's own images as latents, and what its transformer was given with them.

No other data is needed. The latents x0 of an image are noised to x_t = (1 - t) x0 + t eps (rectified flow, Liu et al.
2022), and both models see x_t with the image's prompt. The noise level t is the sampler's own schedule at a share u of
its way, with u uniform in half of the draws and sigmoid(N(0, 1)) in the other half (the logit-normal of Esser et al.
2024): the shift of a schedule moves the training as it moves the sampling, and pure noise, where sampling begins, is
trained too.

Examples are made batch by batch into files of their own, so that making them can be stopped and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.analysis.hidden_states import Clock, clock
from harness.errors import HarnessError, PromptError
from harness.files import replacing
from harness.models import prompts as prompt_files
from harness.models.sampler import Sampler
from harness.results.arrays import Array

FIRST_SEED = 1000  # the seeds below are those that cases are measured on
_EMPTY_SHARE = 0.1  # of the draws are conditioned as the unconditional half of guidance is
_CLEAN = "clean"
_NEGATIVE = "negative."
_ANEW = frozenset({"hidden_states", "timestep", "return_dict"})  # arguments that are made for every draw


@dataclass(frozen=True)
class Batch:
    """One draw: ``arguments`` of a transformer's forward, whose rows are noised images, on the device."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class _Call:
    """What the pipeline's calls of the transformer have in common.

    ``constant`` are the arguments that have no row for each image, ``times`` is the schedule of its steps and
    ``timestep`` the dtype of that argument.
    """

    constant: Mapping[str, Any]
    times: Clock
    timestep: torch.dtype


class Examples:
    """Latents and arguments of N images, read from their files as they are drawn.

    ``call`` says what every image has in common, ``per_file`` how many images each file holds.
    """

    def __init__(self, files: Sequence[Path], call: _Call, per_file: Sequence[int]) -> None:
        self._files: list[Any] = [safe_open(path, framework="pt") for path in files]  # their methods have no types
        self._names = sorted(name for name in self._files[0].keys() if not name.startswith(_NEGATIVE))  # noqa: SIM118
        self._negative = {
            name.removeprefix(_NEGATIVE): self._files[0].get_tensor(name)
            for name in self._files[0].keys()  # noqa: SIM118 - no mapping
            if name.startswith(_NEGATIVE)
        }
        self._call = call
        self._places = [(file, row) for file, rows in enumerate(per_file) for row in range(rows)]

    def __len__(self) -> int:
        return len(self._places)

    def draw(self, rng: np.random.Generator, batch: int, device: torch.device, dtype: torch.dtype) -> Batch:
        """``batch`` noised images: which, at what noise level and with what noise is ``rng``'s choice."""
        rows = [self._row(int(index)) for index in rng.integers(len(self), size=batch)]
        emptied = rng.random(batch) < _EMPTY_SHARE
        for row, empty in zip(rows, emptied, strict=True):
            if empty:
                row.update(self._negative)
        tensors = {name: torch.cat([row[name] for row in rows]) for name in self._names}
        clean = tensors.pop(_CLEAN).float()
        levels = torch.from_numpy(draw_levels(rng, batch, self._call.times.levels))
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        mix = levels.view(-1, *[1] * (clean.ndim - 1))
        arguments = {name: _floating(value, device, dtype) for name, value in tensors.items()}
        arguments |= {name: _floating(value, device, dtype) for name, value in self._call.constant.items()}
        arguments["hidden_states"] = ((1 - mix) * clean + mix * noise).to(device, dtype)
        arguments["timestep"] = self._call.times.timestep(levels).to(device, self._call.timestep)
        return Batch({**arguments, "return_dict": False})

    def _row(self, index: int) -> dict[str, Tensor]:
        file, row = self._places[index]
        return {name: self._files[file].get_slice(name)[row : row + 1] for name in self._names}


def draw_levels(rng: np.random.Generator, count: int, levels: Sequence[float]) -> Array:
    """(count,) noise levels in 0..1: a share of the way through ``levels``, which fall from the first step on to 0."""
    logit_normal = 1 / (1 + np.exp(-rng.standard_normal(count)))
    left = np.where(rng.random(count) < 0.5, rng.random(count), logit_normal)  # 1 at the first step, 0 at the end
    schedule = np.array([*levels, 0.0])
    ways = np.linspace(1.0, 0.0, len(schedule))
    return np.interp(left, ways[::-1], schedule[::-1]).astype(np.float32)


def make_examples(
    sampler: Sampler,
    prompts: Sequence[str],
    folder: Path,
    *,
    images_per_prompt: int = 1,
    advance: Callable[[int], None] = lambda _images: None,
) -> Examples:
    """Sample the teacher's images of the prompts into ``folder``, or take those that an interrupted call left there.

    Each prompt has ``images_per_prompt`` images, of other seeds than cases are measured on. ``advance`` is called
    with the number of images that were made (or were there). Raises PromptError for a prompt that is too long,
    CheckpointError where the scheduler has no noise levels.
    """
    if not prompts:
        raise PromptError("healing needs a prompt at least; there is none")
    sampler.check(prompts)
    batches = [
        (list(prompts[start : start + sampler.batch]), FIRST_SEED + number)
        for number in range(images_per_prompt)
        for start in range(0, len(prompts), sampler.batch)
    ]
    files: list[Path] = []
    call: _Call | None = None
    for number, (part, seed) in enumerate(batches):
        path = folder / f"examples-{number:05d}.safetensors"
        identity = {"prompts": prompt_files.digest(part), "seed": str(seed)}
        if number == 0 or not _holds(path, identity):
            # The first one always: what is the same for every image isn't stored.
            tensors, own_call = _sample(sampler, part, seed)
            call = call or own_call
            with replacing(path) as temporary:
                save_file(tensors, temporary, metadata=identity)
        files.append(path)
        advance(len(part))
    assert call is not None
    return Examples(files, call, [len(part) for part, _ in batches])


def _holds(path: Path, identity: Mapping[str, str]) -> bool:
    try:
        with safe_open(path, framework="pt") as stored:
            return stored.metadata() == dict(identity)
    except (OSError, SafetensorError):
        return False


def _sample(sampler: Sampler, prompts: Sequence[str], seed: int) -> tuple[dict[str, Tensor], _Call]:
    """One batch: tensors with a row for each image, and what all images have in common."""
    calls: list[dict[str, Any]] = []

    def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not calls:
            calls.append(sampler.named(args, kwargs))

    handle = sampler.transformer.register_forward_pre_hook(note, with_kwargs=True)
    try:
        samples = sampler.sample(prompts, seed)
    finally:
        handle.remove()
    arguments = calls[0]
    rows, count = len(arguments["hidden_states"]), len(prompts)
    if rows not in {count, 2 * count} or sampler.halved:
        raise HarnessError(f"not enough memory to sample {count} images at once; give a smaller --batch")
    tensors = {_CLEAN: samples.latents.contiguous()}
    constant: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in _ANEW:
            continue
        # Position ids have no rows, and their length may be the number of rows by chance.
        if isinstance(value, Tensor) and value.ndim and len(value) == rows and not name.endswith("_ids"):
            tensors[name] = value[rows - count :].detach().cpu().clone().contiguous()
            if rows != count:  # [negative, positive] of classifier-free guidance: one row stands for the negative ones
                tensors[_NEGATIVE + name] = value[:1].detach().cpu().clone().contiguous()
        else:
            constant[name] = value.detach().cpu().clone() if isinstance(value, Tensor) else value
    timestep: Tensor = arguments["timestep"]
    times = clock(sampler.pipeline, float(timestep.flatten()[-1]))
    return tensors, _Call(constant, times, timestep.dtype)


def _floating(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A tensor on the device, in ``dtype`` if it was in a half precision or fp32; everything else as it is."""
    if not isinstance(value, Tensor):
        return value
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)
