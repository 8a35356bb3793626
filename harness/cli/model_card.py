"""Acceptance of a bundled model on layouts that no training saw, and its model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.ablation.grid import Ask, expand
from harness.files import write_atomically
from harness.lab.lab import Lab
from harness.markdown import markdown_table
from harness.metrics.judge import OpenClipJudge
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.environment import versions
from harness.tiny import checker, render, vae, world
from harness.tiny import judge as judge_training
from harness.tiny.train import parameters, prompts

_EVALUATION_SEED = 90_001


@dataclass(frozen=True)
class Report:
    """What was measured; shares in 0..1, scores as cosine x 100, harm in seed sds."""

    layouts: int
    reconstructions: dict[str, float]
    pipeline: dict[str, float]
    twice_the_steps: dict[str, float]
    score: float
    seed_sd: float
    mean_noise: float
    skip_middle: dict[str, float]
    single_skips: dict[str, float]
    parameters: dict[str, int]

    @property
    def carrying(self) -> int:
        """How many single-block skips cost more than the reseed noise of the control's mean."""
        return sum(loss > self.mean_noise for loss in self.single_skips.values())


def evaluate(checkpoint: Checkpoint, layouts: int) -> Report:
    """Sample held-out layouts through the real pipeline, read them with the checker, and cut both stacks."""
    unseen = world.sample_split(layouts, np.random.default_rng(_EVALUATION_SEED), unseen=True)
    lab = Lab(checkpoint, prompts=prompts(256, _EVALUATION_SEED))
    pipeline = lab.sampler.pipeline
    texts = world.captions(unseen)
    truth = render.render(unseen)
    reconstructed = np.concatenate([vae.reconstruct(pipeline.vae, truth[i : i + 256]) for i in range(0, layouts, 256)])
    pictures = _sample(lab, texts)
    lab.sampler.settings = replace(checkpoint.settings, steps=2 * checkpoint.settings.steps)
    finer = _sample(lab, texts)
    lab.sampler.settings = checkpoint.settings
    losses: dict[str, float] = {}
    middles: dict[str, float] = {}
    asks = [Ask(tuple(checkpoint.stacks), (name,), ("skip",)) for name in ("middle", "each")]
    for case in expand(checkpoint.name, checkpoint.stacks, asks):
        measured, _ = lab.run(case.plan, case.stack)
        target = middles if "middle" in case.words else losses
        target[f"{case.stack} {case.span}"] = -measured.summary["clip_delta"]
    return Report(
        layouts=layouts,
        reconstructions=_shares(reconstructed, unseen),
        pipeline=_shares(pictures, unseen),
        twice_the_steps=_shares(finer, unseen),
        score=float(lab.control.scores.mean()),
        seed_sd=lab.seed_sd,
        mean_noise=lab.seed_sd / 64**0.5,
        skip_middle=middles,
        single_skips=losses,
        parameters={
            name: parameters(part) for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)
        },
    )


def _sample(lab: Lab, texts: list[str]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    images = lab.sampler.sample(texts, seed=0).images
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).numpy()


def _shares(images: np.ndarray[Any, np.dtype[np.uint8]], layouts: world.Layouts) -> dict[str, float]:
    score = checker.score(images, layouts)
    return {"all right": float(score.all_right.mean())} | {k: float(v.mean()) for k, v in score.attributes.items()}


def _losses(what: str, losses: Mapping[str, float], form: str) -> list[str]:
    """A table of losses of the judge's score, by what was skipped."""
    return markdown_table((what, "loss of score"), ((where, format(loss, form)) for where, loss in losses.items()))


def write_card(checkpoint: Checkpoint, report: Report) -> Path:
    """``README.md`` beside the weights."""
    path = checkpoint.folder / "README.md"
    installed = versions()
    rows = [
        ("VAE reconstructions", report.reconstructions),
        (f"pipeline, {checkpoint.settings.steps} steps", report.pipeline),
        (f"pipeline, {2 * checkpoint.settings.steps} steps", report.twice_the_steps),
    ]
    names = list(report.pipeline)
    scheduler = json.loads((checkpoint.folder / "scheduler" / "scheduler_config.json").read_text())
    lines = [
        f"# {checkpoint.name}",
        "",
        f"A small {checkpoint.family.pipeline} for testing, in diffusers' own classes, trained from nothing on the "
        "procedural world of coloured shapes in `harness/tiny/world.py`. It makes pictures of "
        f"{checkpoint.settings.width} px and is good for nothing else.",
        "",
        f"- Blocks: {', '.join(f'{n} {s}' for s, n in checkpoint.stacks.items())}; parameters: "
        + ", ".join(f"{k} {v:,}" for k, v in report.parameters.items()),
        f"- Sampling: {checkpoint.settings.steps} steps, guidance {checkpoint.settings.guidance}"
        + (f" away from {checkpoint.settings.negative_prompt!r}" if checkpoint.settings.negative_prompt else "")
        + f", scheduler shift {scheduler.get('shift')}",
        "- Weights: transformer and text encoders in bfloat16, run in float32",
        f"- Measured with torch {installed['torch']}, diffusers {installed['diffusers']}, "
        f"transformers {installed['transformers']}",
        "",
        f"## Share of right answers on {report.layouts} held-out layouts",
        "",
        "One layout in eight, by a hash of the scene that both phrasings share, is kept out of all training.",
        "",
        *markdown_table(("", *names), ((label, *(f"{shares[n]:.3f}" for n in names)) for label, shares in rows)),
        "",
        "## Load",
        "",
        f"Judge's score of the control (cosine x 100, 256 held-out prompts): {report.score:.2f}; seed-to-seed sd "
        f"{report.seed_sd:.2f}, so the mean of 64 prompts moves by {report.mean_noise:.2f} under a reseed.",
        "",
        *_losses("skipped middle", report.skip_middle, ".1f"),
        "",
        f"{report.carrying} of {len(report.single_skips)} single-block skips lose more than that noise:",
        "",
        *_losses("skipped block", report.single_skips, ".2f"),
        "",
    ]
    write_atomically(path, "\n".join(lines))
    return path


def write_judge_card(folder: Path, layouts: int) -> Path:
    """Measure the judge on held-out true renders and write ``README.md`` into its folder."""
    rng = np.random.default_rng(_EVALUATION_SEED)
    unseen = world.sample_split(layouts, rng, unseen=True)
    mutants = judge_training.mutate(unseen, rng)
    judge = OpenClipJudge(folder, torch.device("cpu"))
    texts = world.captions(unseen)
    features = judge.embed_images(render.render(unseen))
    same = np.array(world.keys(unseen)) == np.array(world.keys(mutants))
    right, foil = judge.score(features, texts), judge.score(features, world.captions(mutants))
    shuffled = judge.score(features, [*texts[1:], texts[0]])
    best = (features @ judge.embed_texts(texts).T).argmax(axis=1)
    top1 = judge_training.same_scene(unseen)[np.arange(layouts), best].mean()
    installed = versions()
    lines = [
        "# judge",
        "",
        "A small open_clip model that scores how well a picture of the bundled world fits its caption (cosine x 100). "
        "Trained contrastively on the same world as the pipelines, on layouts that are not held out, with a tokenizer "
        "and a text tower of its own; half of its images were VAE reconstructions. Good for nothing else.",
        "",
        f"- {parameters(judge.model):,} parameters; {render.SIDE} px, patches of "
        f"{judge_training.MODEL['vision_cfg']['patch_size']}; temperature fixed at {judge_training.TEMPERATURE}",
        f"- Measured with torch {installed['torch']}, open_clip {installed['open-clip-torch']}, on renders of "
        f"{layouts} held-out layouts",
        "",
        *markdown_table(
            ("", ""),
            (
                ("score of the right caption", f"{right.mean():.1f}"),
                ("score of a caption with one attribute changed", f"{foil[~same].mean():.1f}"),
                ("score of another layout's caption", f"{shuffled.mean():.1f}"),
                ("right caption above the one-attribute foil", f"{(right > foil)[~same].mean():.3f}"),
                (f"right caption first of {layouts}", f"{top1:.3f}"),
            ),
        ),
        "",
    ]
    write_atomically(folder / "README.md", "\n".join(lines))
    return folder / "README.md"
