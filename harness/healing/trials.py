"""Plans that leave out equally many blocks, each healed in the same way, with their losses before and harms after."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.ablation.plan import Plan
from harness.ablation.removals import Blocks
from harness.healing.examples import Examples, make_examples
from harness.healing.harm import measure_healed
from harness.healing.heal import Healed, Job, heal
from harness.healing.recipe import Recipe
from harness.lab.lab import Lab
from harness.results.records import Measurement
from harness.tiny import world
from harness.tiny.train import recipe_of

_DRAW_SEED = 14
_LAYOUT_SEED = 20_261


@dataclass(frozen=True)
class Trial:
    """One plan before and after its healing.

    ``loss_before`` is the mean square error of the velocity on noised images of the teacher that no step draws, which
    pruning methods call the calibration loss. ``harm_before`` and ``harm_after`` are means over the lab's prompts, in
    points of the judge's score.
    """

    plans: tuple[str, ...]
    loss_before: float
    harm_before: float
    harm_after: float


def random_plans(lengths: Mapping[str, int], removed: int, count: int) -> list[tuple[str, ...]]:
    """``count`` different sets of plans, each without ``removed`` of all blocks, all sets alike likely.

    One is a plan for every stack that loses a block, as ``"double: 0 2-4"``. ``lengths`` are the stacks' numbers of
    blocks; the draws are the same for the same lengths.
    """
    rng = np.random.default_rng(_DRAW_SEED)
    blocks = Blocks.alike(lengths)
    drawn: list[tuple[str, ...]] = []
    while len(drawn) < count:
        removal = rng.choice(blocks.count, size=removed, replace=False).tolist()
        plans = tuple(f"{stack}: {plan}" for stack, plan in blocks.plan(removal).items())
        if plans not in drawn:
            drawn.append(plans)
    return drawn


def training_prompts(count: int) -> list[str]:
    """Captions of layouts that the bundled models' own training drew from: none is one of their cases' prompts."""
    rng = np.random.default_rng(_LAYOUT_SEED)
    layouts = world.sample_split(2 * count, rng, unseen=False)
    return list(dict.fromkeys(world.captions(layouts, rng.random(len(layouts)) < 0.5)))[:count]


def training_steps(family: str, share: float, batch: int) -> int:
    """Steps of ``batch`` images that see ``share`` of the images that a bundled model's own training saw."""
    own = recipe_of(family)
    return max(1, round(share * own.steps * own.batch / batch))


def heal_and_measure(
    lab: Lab, plans: Sequence[str], recipe: Recipe, examples: Examples, prompts: Sequence[str], folder: Path
) -> tuple[Healed, Measurement]:
    """Heal one plan on images of the lab's model, and measure the healed model on the lab's prompts.

    ``examples`` are those of ``prompts``; the state of the training is kept in ``folder``. Raises what
    :func:`~harness.healing.heal.heal` raises.
    """
    job = Job(
        checkpoint=lab.checkpoint.name,
        weights=lab.fingerprint.weights,
        plans=plans,
        prompts=prompts,
        recipe=recipe,
        dtype=lab.checkpoint.settings.dtype,
    )
    healed = heal(lab.sampler, job, folder, examples=examples)
    return healed, measure_healed(lab, healed.model)


def run_trials(lab: Lab, chosen: Sequence[tuple[str, ...]], recipe: Recipe, prompts: Sequence[str]) -> Iterator[Trial]:
    """Heal every one of some plans in the same way, from images of the lab's model for ``prompts``."""
    with tempfile.TemporaryDirectory() as temporary:
        examples = make_examples(lab.sampler, prompts, Path(temporary) / "examples")
        for number, plans in enumerate(chosen):
            folder = Path(temporary) / str(number)
            healed, after = heal_and_measure(lab, plans, recipe, examples, prompts, folder)
            before = lab.run_stacks({stack: Plan(kept) for stack, kept in healed.kept.items()}).measurement
            yield Trial(
                plans,
                healed.output_before,
                float(np.mean(before.values["harm"])),
                float(np.mean(after.values["harm"])),
            )
