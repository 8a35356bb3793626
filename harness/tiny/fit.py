"""One resumable training loop for everything that is bundled.

A run is a function of its seed: the batch of step k is drawn from (seed, k), so a run that was
killed and resumed sees the batches that it would have seen. State is kept as one safetensors file,
replaced atomically; progress goes to a JSON-lines log and to a progress bar.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.files import replacing


@dataclass(frozen=True)
class Recipe:
    """Optimiser settings of one stage. ``decay_from`` is the share of steps at full rate."""

    steps: int
    batch: int
    rate: float
    seed: int
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    warm_up: int = 200
    decay_from: float = 0.5
    clip: float = 1.0
    ema: float = 0.998
    evaluate_every: int = 250
    checkpoint_every: int = 100

    def rate_at(self, step: int) -> float:
        """Linear warm-up, constant, then linear decay to zero."""
        warm = min(1.0, (step + 1) / max(1, self.warm_up))
        left = (self.steps - step) / max(1.0, self.steps * (1.0 - self.decay_from))
        return self.rate * warm * min(1.0, left)


Loss = Callable[[np.random.Generator], tuple[Tensor, Mapping[str, float]]]
Evaluate = Callable[[], Mapping[str, float]]


def fit(
    name: str,
    module: nn.Module,
    loss: Loss,
    recipe: Recipe,
    folder: Path,
    evaluate: Evaluate | None = None,
) -> None:
    """Train ``module`` in place; afterwards it holds the averaged (EMA) weights, in eval mode.

    ``loss(rng)`` returns the loss of one batch and extra figures for the log;
    ``evaluate()`` is called with the averaged weights in place. Resumes from
    ``folder/NAME.safetensors`` where that exists and belongs to the same recipe.
    Raises ValueError when a checkpoint of another recipe lies there, FloatingPointError when the
    loss is no longer finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{name}.safetensors"
    log = folder / f"{name}.log.jsonl"
    parameters = {k: p for k, p in module.named_parameters() if p.requires_grad}
    average = {k: p.detach().clone() for k, p in parameters.items()}
    optimiser = torch.optim.AdamW(
        parameters.values(), lr=recipe.rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )
    start = _resume(checkpoint, recipe, parameters, average, optimiser)
    module.train()
    began = time.monotonic()
    with _bar(name, recipe.steps, start) as advance:
        for step in range(start, recipe.steps):
            rng = np.random.default_rng((recipe.seed, step))
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate_at(step)
            value, extra = loss(rng)
            if not math.isfinite(value.item()):
                raise FloatingPointError(
                    f"{name}: the loss is {value.item()} at step {step}; the last checkpoint in {checkpoint} is intact"
                )
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(parameters.values(), recipe.clip)
            optimiser.step()
            decay = min(recipe.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - decay)
            done = step + 1
            advance(value.item())
            figures: dict[str, float] = {"loss": value.item(), **extra}
            last = done == recipe.steps
            if evaluate is not None and (done % recipe.evaluate_every == 0 or last):
                with _averaged(module, average):
                    figures |= evaluate()
            if done % 25 == 0 or last:
                _log(log, {"step": done, "seconds": round(time.monotonic() - began, 1), **figures})
            if done % recipe.checkpoint_every == 0 or last:
                _save(checkpoint, recipe, done, parameters, average, optimiser)
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(average[key])
    module.eval()


@contextmanager
def _averaged(module: nn.Module, average: Mapping[str, Tensor]) -> Iterator[None]:
    """The module with its averaged weights, in eval mode; put back afterwards."""
    own = dict(module.named_parameters())
    kept = {k: own[k].detach().clone() for k in average}
    module.eval()
    with torch.no_grad():
        for k, value in average.items():
            own[k].copy_(value)
        try:
            yield
        finally:
            for k, value in kept.items():
                own[k].copy_(value)
            module.train()


def _save(
    path: Path,
    recipe: Recipe,
    step: int,
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimiser: torch.optim.AdamW,
) -> None:
    tensors: dict[str, Tensor] = {}
    for key, parameter in parameters.items():
        state = optimiser.state[parameter]
        tensors[f"value.{key}"] = parameter.detach()
        tensors[f"average.{key}"] = average[key]
        tensors[f"first.{key}"] = state["exp_avg"]
        tensors[f"second.{key}"] = state["exp_avg_sq"]
    tensors = {k: t.to("cpu").contiguous() for k, t in tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step), "recipe": _identity(recipe, parameters)})


def _resume(
    path: Path,
    recipe: Recipe,
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimiser: torch.optim.AdamW,
) -> int:
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as stored:
        facts = stored.metadata()
        if facts.get("recipe") != _identity(recipe, parameters):
            raise ValueError(
                f"{path} was trained with another recipe; remove it to start anew\n"
                f"  there: {facts.get('recipe')}\n  here:  {_identity(recipe, parameters)}"
            )
        step = int(facts["step"])
        with torch.no_grad():
            for key, parameter in parameters.items():
                parameter.copy_(stored.get_tensor(f"value.{key}"))
                average[key].copy_(stored.get_tensor(f"average.{key}"))
                optimiser.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": stored.get_tensor(f"first.{key}").to(parameter),
                    "exp_avg_sq": stored.get_tensor(f"second.{key}").to(parameter),
                }
    return step


def _identity(recipe: Recipe, parameters: Mapping[str, nn.Parameter]) -> str:
    """The recipe and the model that it trains."""
    shapes = json.dumps({k: list(p.shape) for k, p in parameters.items()}, sort_keys=True)
    return f"{recipe!r} of model {hashlib.sha256(shapes.encode()).hexdigest()[:12]}"


def _log(path: Path, row: Mapping[str, float]) -> None:
    with path.open("a") as stream:
        stream.write(json.dumps({k: round(v, 5) for k, v in row.items()}) + "\n")


@contextmanager
def _bar(name: str, steps: int, start: int) -> Iterator[Callable[[float], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=steps, completed=start, loss=float("nan"))
        yield lambda loss: progress.update(task, advance=1, loss=loss)
