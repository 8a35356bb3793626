"""D5: what is said of models that are trained on after blocks were removed. Its test trains twelve models (minutes)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.analysis.predictors import spearman
from harness.findings.claim import Claim, claim
from harness.findings.questions import Direction, Question
from harness.healing.recipe import Recipe
from harness.healing.trials import Trial, random_plans, run_trials, training_prompts, training_steps
from harness.models.checkpoints.resolve import bundled_names
from harness.results.statistics import Interval

if TYPE_CHECKING:
    from harness.analysis.study import Study

_REMOVED, _PLANS = 4, 12  # blocks that each plan leaves out, and how many plans
_SHARE = 0.01  # of the images that the model's own training saw
_BATCH, _RATE = 64, 1e-3
_IMAGES = 1024  # of the teacher's
_WEAK = 0.5  # a rank correlation below it foresees little


def _not_bundled(study: Study) -> str:
    if study.name in bundled_names():
        return ""
    return f"it trains {_PLANS} models on images of prompts other than the cases', which only bundled models come with"


def rank_correlation(trials: Sequence[Trial], level: float) -> Interval:
    """Spearman's rho of the losses before healing and the harms after it, with its interval over plans."""
    return spearman([t.loss_before for t in trials], [t.harm_after for t in trials], level).rho


@claim(
    "D5",
    "the loss before healing does not predict how good a pruned model is after it",
    source="TinyFusion, arXiv 2412.01199 (DiT-XL on ImageNet): calibration loss against the loss after fine-tuning",
    families=("flux", "sd3", "auraflow"),
    why_not=_not_bundled,
)
def loss_predicts_nothing(study: Study) -> Sequence[Question]:
    """Over twelve random plans without four blocks, the rank correlation of loss before and harm after is below .5.

    The loss is the velocity's mean square error. Each plan is healed for one per cent of the images of the model's own
    training, all weights, by normalised feature distillation.
    """
    recipe = Recipe(steps=training_steps(study.family, _SHARE, _BATCH), batch=_BATCH, rate=_RATE)
    plans = random_plans(study.stacks, _REMOVED, _PLANS)
    trials = list(run_trials(study.lab, plans, recipe, training_prompts(_IMAGES)))
    what = f"rank correlation of loss before and harm after healing, {_PLANS} plans without {_REMOVED} blocks"
    return [Question(what, partial(rank_correlation, trials), Direction.LESS, _WEAK, "")]


HEALING: tuple[Claim, ...] = (loss_predicts_nothing,)
