"""One healing from a loaded teacher to a trained student: what the command does, for whoever has a sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from harness.ablation.plan import Plan
from harness.errors import OptionError
from harness.healing.examples import Examples, make_examples
from harness.healing.features import teacher_places
from harness.healing.recipe import Recipe
from harness.healing.state import Progress, State, is_begun
from harness.healing.student import Student, check_lora
from harness.healing.trainer import Advance, calibration_loss, train
from harness.models import prompts as prompt_files
from harness.models.loading import DTYPES
from harness.models.sampler import Sampler
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.surgery.export import export
from harness.surgery.pruning import Kept, chosen

_UNHEALED = "unhealed"


@dataclass(frozen=True)
class Job:
    """What is healed and how.

    ``plans`` are texts like ``"double: 0 2-4"``. ``weights`` is the digest of the checkpoint's weights, ``dtype`` what
    both models compute in; the student is returned in it. ``images_per_prompt`` images of each prompt are trained on;
    ``own_prompts`` says that those are the prompts that the checkpoint's cases are measured on.
    """

    checkpoint: str
    weights: str
    plans: Sequence[str]
    prompts: Sequence[str]
    recipe: Recipe
    dtype: str
    images_per_prompt: int = 1
    own_prompts: bool = False

    def __post_init__(self) -> None:
        """Raise OptionError where the training can't be done as asked, before a model is loaded."""
        if self.dtype == "float16":
            raise OptionError("healing in float16 would need scaled gradients; take bfloat16 or float32 (--dtype)")
        if self.recipe.lora_rank:
            check_lora()

    def settings(self, kept: Kept) -> dict[str, Any]:
        """What must be the same for an interrupted healing to go on."""
        return {
            "checkpoint": self.checkpoint,
            "weights": self.weights,
            "plans": plans_of(kept),
            "prompts": prompt_files.digest(self.prompts),
            "images_per_prompt": self.images_per_prompt,
            "dtype": self.dtype,
            **asdict(self.recipe),
        }


@dataclass(frozen=True)
class Healed:
    """The trained model, in eval mode. ``kept`` are the original's blocks that it has, by stack with a plan."""

    model: nn.Module
    kept: Kept
    lengths: Mapping[str, int]
    progress: Progress
    trained: int  # parameters
    loss_before: float  # on images that no step drew
    loss_after: float
    output_before: float  # the velocity's part of it
    output_after: float


def plans_of(kept: Kept) -> dict[str, str]:
    """The plans of the blocks that stay, by stack."""
    return {stack: str(Plan(blocks)) for stack, blocks in kept.items()}


def heal(
    sampler: Sampler,
    job: Job,
    folder: Path,
    *,
    save_every: int = 100,
    examples: Examples | None = None,
    image_made: Callable[[int], None] = lambda _images: None,
    step_done: Advance = lambda _step, _loss: None,
) -> Healed:
    """Make the student of a plan and train it to do as the sampler's transformer does.

    The state is kept in ``folder``, and where there is one it is gone on from. ``examples`` are made there, too,
    unless they are given. ``image_made`` and ``step_done`` are told of the progress.

    Raises ExportError where a saved model can't run the plan, PlanError or SurgeryError for a plan or stack that
    doesn't fit the model, HarnessError for a state of other settings; KeyboardInterrupt after a Ctrl-C, when the
    state is kept.
    """
    teacher = unwrap_compiled(sampler.transformer)
    kept = chosen(teacher, job.plans)
    state = State(folder, job.settings(kept))
    if is_begun(folder):
        state.check()
    else:
        state.begin()
    unhealed = folder / _UNHEALED
    if not unhealed.exists():
        export(teacher, plans_of(kept), unhealed, checkpoint=job.checkpoint, weights=job.weights)
    if examples is None:
        examples = make_examples(
            sampler, job.prompts, folder, images_per_prompt=job.images_per_prompt, advance=image_made
        )
    dtype = DTYPES[job.dtype]
    device = next(teacher.parameters()).device
    if device.type == "cuda":
        sampler.park_encoders()  # the prompts are encoded, and the student needs the memory
    student = Student(type(teacher), unhealed, device, dtype, lora_rank=job.recipe.lora_rank, seed=job.recipe.seed)
    trained = sum(parameter.numel() for parameter in student.parameters.values())
    places = teacher_places(teacher, kept)
    lengths = {stack: len(blocks_at(teacher, attribute)) for stack, attribute in stacks(teacher).items()}
    before = calibration_loss(teacher, student.model, places, examples, job.recipe, dtype)
    progress = train(
        teacher, student, places, examples, job.recipe, state, dtype=dtype, save_every=save_every, advance=step_done
    )
    after = calibration_loss(teacher, student.model, places, examples, job.recipe, dtype)
    return Healed(
        student.finish(dtype),
        kept,
        lengths,
        progress,
        trained,
        loss_before=float(before.total),
        loss_after=float(after.total),
        output_before=float(before.output),
        output_after=float(after.output),
    )
