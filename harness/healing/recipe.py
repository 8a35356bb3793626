"""How a pruned model is trained: every setting that changes its weights, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import OptionError

_WARM_UP_SHARE = 0.1  # of the steps, at most
_WARM_UP_STEPS = 100
_CONSTANT_SHARE = 0.5  # of the steps, after which the rate falls to zero


@dataclass(frozen=True)
class Recipe:
    """Settings of one healing.

    ``batch`` images go through both models at once, and ``accumulate`` such batches make one step of the optimiser.
    ``rate`` is AdamW's highest learning rate. ``normalised`` divides each feature term by the teacher's norm (see
    :mod:`harness.healing.loss`), ``feature_weight`` is the weight of the features beside the output; 0 leaves them out.
    ``lora_rank`` is the rank of a LoRA on the blocks' linear layers, and 0 trains all weights. The LoRA's scale
    (alpha / rank) is 1. ``gradient_checkpointing`` computes activations twice instead of keeping them.
    """

    steps: int = 1000
    batch: int = 1
    rate: float = 1e-4
    seed: int = 0
    normalised: bool = True
    feature_weight: float = 1.0
    lora_rank: int = 0
    accumulate: int = 1
    gradient_checkpointing: bool = False
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        """Raise OptionError for a number that makes no training."""
        for name in ("steps", "batch", "accumulate"):
            if getattr(self, name) < 1:
                raise OptionError(f"healing with {name} {getattr(self, name)}: at least 1 is needed")
        if not 0 < self.rate < 1:
            raise OptionError(f"healing with a learning rate of {self.rate}: it is above 0 and below 1")
        if self.lora_rank < 0 or self.feature_weight < 0:
            raise OptionError("healing with a rank or a weight below 0; 0 means none")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step: linear warm-up, then constant, then linear decay to zero."""
        warm_up = max(1, min(_WARM_UP_STEPS, round(self.steps * _WARM_UP_SHARE)))
        left = (self.steps - step) / max(1.0, self.steps * (1.0 - _CONSTANT_SHARE))
        return self.rate * min(1.0, (step + 1) / warm_up) * min(1.0, left)

    @property
    def images(self) -> int:
        """How many noised images the training sees."""
        return self.steps * self.batch * self.accumulate
