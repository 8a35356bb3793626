"""The healed model as a checkpoint folder like any other: a whole diffusers pipeline with its settings and a card."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness._version import __version__
from harness.errors import HarnessError
from harness.files import file_sha256, write_atomically
from harness.healing.harm import Harms
from harness.healing.heal import Healed, Job, plans_of
from harness.healing.state import is_begun, read_state
from harness.markdown import markdown_table
from harness.models.checkpoints.pipeline_folder import INDEX, weights_folder
from harness.models.checkpoints.resolve import SETTINGS_FILE, Checkpoint
from harness.models.environment import versions
from harness.results.fingerprint import Fingerprint
from harness.results.serialise import to_plain
from harness.results.statistics import Interval
from harness.surgery.export import check_saved
from harness.surgery.export_card import CardFacts, how_measured, model_card
from harness.surgery.pruning import family_of

STATE = "healing"  # the folder of the state, inside the new checkpoint's until it is done
_FACTS = "healing.json"  # what was done, when it is
_TRANSFORMER = "transformer"
_SCHEMA = 1


def check_target(folder: Path, *, resume: bool) -> None:
    """Raise HarnessError where a healing can't begin in a folder, or where there is none that could be resumed."""
    begun = is_begun(folder / STATE)
    finished = (folder / _FACTS).exists()
    if resume and not begun:
        what = "the healing is finished" if finished else "there is no healing to resume"
        raise HarnessError(f"{folder}: {what}; leave out --resume and name a folder that isn't there yet")
    if resume:
        return
    if begun:
        stored = read_state(folder / STATE)
        steps = f"{stored['step']} of {stored['settings'].get('steps')} steps"
        raise HarnessError(f"{folder} holds an unfinished healing ({steps}); add --resume to go on, or name another")
    if folder.is_dir() and any(folder.iterdir()):
        raise HarnessError(
            f"{folder} is there already and not empty; name a folder that isn't there yet (--resume only goes on with "
            "a healing that was interrupted)"
        )
    if folder.exists() and not folder.is_dir():
        raise HarnessError(f"{folder} is a file, not a folder; name a folder that isn't there yet")


def write_checkpoint(
    folder: Path,
    checkpoint: Checkpoint,
    job: Job,
    healed: Healed,
    harms: Harms | None = None,
    fingerprint: Fingerprint | None = None,
) -> None:
    """Write the pipeline of a healed transformer: its own weights, copies of everything else, settings and a card.

    ``harms`` go into the card where they were measured, with the ``fingerprint`` of how.

    The index is written last, so that a folder which was interrupted is no checkpoint yet. Raises ExportError where
    what was written doesn't read back as it was, HarnessError where the folder can't be written.
    """
    model: Any = healed.model
    try:
        for name, value in checkpoint.index.items():
            if name != _TRANSFORMER and isinstance(value, list) and value[1] is not None:
                _copy_component(checkpoint.folder / name, folder / name)
        shutil.rmtree(folder / _TRANSFORMER, ignore_errors=True)
        model.save_pretrained(folder / _TRANSFORMER, safe_serialization=True)
        files = check_saved(folder / _TRANSFORMER, model)
    except OSError as error:
        raise HarnessError(f"can't write {folder}: {error.strerror or error}") from None
    write_atomically(folder / SETTINGS_FILE, _settings(checkpoint, job))
    facts = {
        "schema": _SCHEMA,
        "harness": __version__,
        "versions": versions("peft") if job.recipe.lora_rank else versions(),
        **job.settings(healed.kept),
        "images": job.recipe.images,
        "trained_parameters": healed.trained,
        "loss_before": healed.loss_before,
        "loss_after": healed.loss_after,
        "losses": [round(total, 6) for total, _, _ in healed.progress.losses],
        "sha256": {path.name: file_sha256(path) for path in files},
    }
    write_atomically(folder / "README.md", _card(checkpoint, job, healed, harms, fingerprint))
    write_atomically(folder / _FACTS, json.dumps(facts, indent=1) + "\n")
    index = {**checkpoint.index, "_name_or_path": checkpoint.hub_id or checkpoint.name}
    write_atomically(folder / INDEX, json.dumps(index, indent=2) + "\n")
    shutil.rmtree(folder / STATE, ignore_errors=True)


def _copy_component(source: Path, target: Path) -> None:
    """The files of a component; links become files, and weights that another bundled folder holds are copied, too."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    weights = weights_folder(source)
    if weights != source:
        shutil.copytree(weights, target, dirs_exist_ok=True)


def _settings(checkpoint: Checkpoint, job: Job) -> str:
    """The checkpoint's settings for the new folder: judge and prompts by their whole paths, since they stay there."""
    judge, prompts = checkpoint.judge_folder, checkpoint.prompts_file
    settings = replace(
        checkpoint.settings,
        dtype=job.dtype,
        judge=str(judge) if judge is not None and judge.exists() else checkpoint.settings.judge,
        prompts=str(prompts) if prompts is not None else "",
    )
    plain = to_plain(settings)
    if not checkpoint.batch_given:
        del plain["batch"]  # a GPU takes as many as fit
    return json.dumps(plain, indent=2, sort_keys=True) + "\n"


def _card(
    checkpoint: Checkpoint, job: Job, healed: Healed, harms: Harms | None, fingerprint: Fingerprint | None
) -> str:
    recipe = job.recipe
    how = f"a LoRA of rank {recipe.lora_rank}, merged afterwards" if recipe.lora_rank else "all weights"
    features = "each divided by the teacher's norm" if recipe.normalised else "not normalised"
    return model_card(
        CardFacts(
            transformer=type(healed.model).__name__,
            pipeline=family_of(healed.model).pipeline,
            blocks={stack: healed.kept.get(stack, tuple(range(n))) for stack, n in healed.lengths.items()},
            lengths=healed.lengths,
            checkpoint=job.checkpoint,
            base_model=checkpoint.hub_id,
            healed=(
                f"After that it was healed: trained for {recipe.steps:,} steps of "
                f"{recipe.batch * recipe.accumulate:,} noised images ({how}, {healed.trained:,} parameters, AdamW at "
                f"{recipe.rate:g}) to predict what the whole model predicts, with the outputs of its blocks matched "
                f"({features}; arXiv 2404.11098). The images were the whole model's own, of {len(job.prompts):,} "
                f"prompts; the loss fell from {healed.loss_before:.4g} to {healed.loss_after:.4g}. `healing.json` has "
                "all settings"
            ),
            harm=() if harms is None else _harm_lines(harms, fingerprint, own_prompts=job.own_prompts),
        )
    )


def _harm_lines(harms: Harms, fingerprint: Fingerprint | None, *, own_prompts: bool) -> list[str]:
    where = "the prompts that it was trained on" if own_prompts else "prompts that it was not trained on"
    return [
        f"The mean loss of prompt alignment against the whole model on {where}, with its 95 % interval over prompts, "
        "in units of the standard deviation that the whole model's score has between seeds (0 is no loss).",
        "",
        *markdown_table(
            ("", "harm [sd]"),
            (
                ("the same blocks, not healed", interval_text(harms.before)),
                ("this model", interval_text(harms.after)),
                ("what healing brought back (paired)", interval_text(harms.recovered)),
            ),
        ),
        *(["", f"Speed-up of one forward: {interval_text(harms.speed_up)}."] if harms.speed_up is not None else []),
        *(["", how_measured(fingerprint, harms.prompts)] if fingerprint is not None else []),
    ]


def interval_text(interval: Interval) -> str:
    """``1.20 [0.80, 1.60]``."""
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def summary(folder: Path, job: Job, healed: Healed) -> list[str]:
    """Lines: what was written, and how it is measured."""
    plans = "; ".join(f"{stack}: {plan}" for stack, plan in plans_of(healed.kept).items())
    return [
        f"wrote {folder}: {type(healed.model).__name__} under {plans}, healed for {job.recipe.steps:,} steps "
        f"({job.recipe.images:,} noised images, {healed.trained:,} parameters trained)",
        f"loss on images that were not trained on: {healed.loss_before:.4g} before, {healed.loss_after:.4g} after",
        f"model card: {folder / 'README.md'}",
        f'use: pytest cases/ --dit-checkpoint {folder}, or DiffusionPipeline.from_pretrained("{folder}")',
    ]
