"""One checkpoint on one device: loads once, measures its control once, then any number of variants."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import torch
from torch import nn

from harness.ablation.case import over_stack
from harness.ablation.plan import Plan
from harness.ablation.steps import Window, within
from harness.errors import CheckpointError
from harness.lab.observation import Observation, distances, to_bytes
from harness.lab.protocol import Forward, ImageCall, VariantRun
from harness.lab.seeds import SeedFigures, check_scores, check_seeds, combined
from harness.metrics import distribution, openclip, pairs
from harness.metrics.judge import OpenClipJudge
from harness.metrics.judge_check import check_judge
from harness.metrics.metric_set import open_metrics
from harness.models import environment, loading
from harness.models import prompts as prompt_files
from harness.models.checkpoints import weight_files
from harness.models.checkpoints.resolve import Checkpoint, resolve
from harness.models.sampler import Sampler, Samples
from harness.results import statistics
from harness.results.arrays import Images, Values
from harness.results.fingerprint import Fingerprint
from harness.results.judge_check import JudgeCheck
from harness.results.records import TIMED_BATCH, Measurement
from harness.results.rounding import rounded
from harness.surgery.trace import check_trace, traced
from harness.surgery.verify import prove_identity
from harness.surgery.view import ablate
from harness.surgery.windowed import in_window

# Settings that change the control's images.
_SAMPLING = ("steps", "guidance", "height", "width", "max_sequence_length", "seeds", "batch")


@dataclass(frozen=True)
class Control:
    """The un-ablated model's images of P prompts at S seeds, and the scales that variants are measured in.

    ``seeds`` are the images of each seed. ``reseed`` are mean distances between two seeds of one prompt, by the name of
    the distance; ``fid_null`` is the mean FID of one seed's images against another's, None with too few prompts;
    ``seed_sd`` is the standard deviation of the score between seeds of one prompt, in score points; ``extra`` are the
    extra metrics' figures.
    """

    seeds: tuple[Observation, ...]
    reseed: Mapping[str, float]
    fid_null: float | None
    seed_sd: float
    extra: Mapping[str, float]

    @property
    def scores(self) -> Values:
        """The score of each prompt at each seed, (P, S)."""
        return np.stack([s.scores for s in self.seeds], axis=1)

    @cached_property
    def latents_sha256(self) -> str:
        """Hash of the first seed's latents, which variants start from, too."""
        return self.seeds[0].samples.sha256()

    def summary(self) -> dict[str, float]:
        """The control's figures as a baseline stores them."""
        out = {
            "score": float(self.scores.mean()),
            "seed_sd": self.seed_sd,
            "collapsed": float(sum(s.collapsed.sum() for s in self.seeds)),
            **{f"reseed_{name}": value for name, value in self.reseed.items()},
        }
        if self.fid_null is not None:
            out["fid_null"] = self.fid_null
        return out | dict(self.extra)


class Lab:
    """Measures variants of one checkpoint against its control.

    The unit of harm is the control's seed-to-seed sd in score points. Where a baseline is stored, its unit
    is fixed with :meth:`fix_unit`, so that a change of the control can't rescale every harm. ``checkpoint`` may be
    a name or a folder, too; prompts that aren't given are the checkpoint's own, or else the set that comes with the
    package; as a mapping they are prompts by category, as :func:`harness.models.prompts.categories` reads them.
    ``judge`` is an open_clip folder or ``ARCHITECTURE/TAG`` instead of the checkpoint's own, by default
    ``ViT-L-14/openai``. With ``trust_judge`` a judge that fails its check ranks and gates all the same, and every
    record says so. ``metrics`` are extra ones (``"lpips"``, ``"dinov2=FOLDER"``); outside the bundled world the
    built-in ones are tried by themselves, unless it is ``["none"]``. ``offload`` is that of
    :func:`harness.models.loading.load`. ``variant_seeds`` is the number of seeds that a variant is run on, at most the
    control's.

    Raises CheckpointError, PromptError or MetricError where checkpoint, judge, prompts or one of ``metrics`` can't be
    used.
    """

    no_images_reason = ""  # see harness.lab.protocol

    def __init__(
        self,
        checkpoint: Checkpoint | str,
        *,
        prompts: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        device: torch.device | None = None,
        judge: str | None = None,
        metrics: Sequence[str] = (),
        offload: str = "none",
        variant_seeds: int = 1,
        trust_judge: bool = False,
    ) -> None:
        if isinstance(checkpoint, str):
            checkpoint = resolve(checkpoint)
        settings = checkpoint.settings
        check_seeds(checkpoint.name, settings.seeds, variant_seeds)
        self.checkpoint = checkpoint
        self.variant_seeds = variant_seeds
        self.device = device or environment.pick_device(None)
        if prompts is None:
            prompts = prompt_files.categories(checkpoint.prompts_file or prompt_files.DEFAULT)
        named = prompts if isinstance(prompts, Mapping) else {"": prompts}
        self.prompts = [prompt for group in named.values() for prompt in group]
        self.categories = tuple(name for name, group in named.items() for _ in group) if any(named) else ()
        # A judge or a metric that can't be used is reported before a large model is loaded.
        source = openclip.find(judge or openclip.of_checkpoint(checkpoint))
        self.metrics = open_metrics(settings, self.prompts, metrics, self.device)
        self.offload = offload
        self.trust_judge = trust_judge
        pipeline = loading.load(checkpoint, self.device, offload=offload)
        self.sampler = Sampler(pipeline, checkpoint.family, settings, settings.batch)
        self.notes = tuple(self.sampler.check(self.prompts))
        self.judge = OpenClipJudge(source, self.device)
        self._split = self.judge.splits(self.prompts)
        self._seed_sd: float | None = None

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Everything that can change a number measured here."""
        checkpoint = self.checkpoint
        added = () if checkpoint.lora is None else (checkpoint.lora,)
        whole = environment.fingerprint(
            checkpoint,
            self.device,
            (*_SAMPLING, "negative_prompt") if checkpoint.settings.negative_prompt else _SAMPLING,
            weights=weight_files.weights_digest(checkpoint.folder, *added),
            judge=self.judge.id,
            prompts=prompt_files.digest(self.prompts),
            metrics=self.metrics.fingerprint,
            offload=self.offload,
            machine=environment.machine(self.device),
            perturbed=self.sampler.perturbed,
        )
        if self.variant_seeds == 1:
            return whole  # as in all baselines of before there was a choice
        return dataclasses.replace(whole, sampling={**whole.sampling, "variant_seeds": self.variant_seeds})

    @cached_property
    def control(self) -> Control:
        """The control's images for every seed, measured once. Raises HarnessError where its scores give no unit."""
        seeds = tuple(
            self.observe(self.sampler.sample(self.prompts, seed)) for seed in range(self.checkpoint.settings.seeds)
        )
        check_scores(self.checkpoint.name, {seed: observed.scores for seed, observed in enumerate(seeds)})
        scores = np.stack([s.scores for s in seeds], axis=1)
        _check_control(self.checkpoint.name, seeds, scores)
        gaps: dict[str, list[float]] = {}
        for a, b in combinations(seeds, 2):
            for name, values in distances(a, b).items():
                gaps.setdefault(name, []).append(float(values.mean()))
        null = None
        if len(self.prompts) >= distribution.LEAST:
            null = float(np.mean([distribution.fid(a.features, b.features) for a, b in combinations(seeds, 2)]))
        return Control(
            seeds=seeds,
            reseed={name: float(np.mean(values)) for name, values in gaps.items() if name != "psnr"},
            fid_null=null,
            # Rounded as a baseline stores it, so that the run that writes one and the next have the same unit.
            seed_sd=rounded(statistics.pooled_seed_sd(scores)),
            extra=self.metrics.control([(s.images, s.extra) for s in seeds]),
        )

    @cached_property
    def judge_check(self) -> JudgeCheck:
        """Whether the judge scores the control's images of the first seed above worse ones; checked once.

        Labs made by :meth:`anew` keep it: a fault of the model is no fault of the judge.
        """
        return check_judge(self.judge, self.control.seeds[0].images, self.prompts, overruled=self.trust_judge)

    @property
    def seed_sd(self) -> float:
        """The unit of harm in score points."""
        return self._seed_sd if self._seed_sd is not None else self.control.seed_sd

    def fix_unit(self, seed_sd: float) -> None:
        """Take the unit of harm from a stored baseline."""
        self._seed_sd = seed_sd

    def anew(self) -> Lab:
        """A lab on the same loaded model that measures its control again."""
        twin = copy.copy(self)
        vars(twin).pop("control", None)
        return twin

    def observe(self, samples: Samples) -> Observation:
        """Score and measure one set of images. A collapsed image scores like grey."""
        images, collapsed = to_bytes(samples.images)
        features = self.judge.embed_images(images)
        return Observation(
            samples=samples,
            images=images,
            collapsed=collapsed,
            features=features,
            scores=self.judge.score(features, self.prompts).astype(np.float64),
            least=self.judge.least(features, self.prompts).astype(np.float64) if self._split else None,
            extra=self.metrics.read(images, self.prompts),
        )

    def sample(self, plan: Plan, stack: str, seed: int = 0, window: Window | None = None) -> Samples:
        """Images under a plan, in a window of denoising steps or in all of them, the executed blocks checked.

        Raises SurgeryError where the blocks that ran are not the plan's (outside the window, the model's own),
        CaseError for a window that the sampling doesn't have.
        """
        transformer, steps = self.sampler.transformer, self.sampler.settings.steps
        window = within(window, steps, self.checkpoint.name)
        if window is not None:
            with in_window(transformer, plan, stack, window) as stepping:
                samples = self.sampler.sample(self.prompts, seed, between=stepping)
            stepping.check(steps)
            return samples
        with ablate(transformer, plan, stack), traced(transformer, stack) as ran:
            samples = self.sampler.sample(self.prompts, seed)
        check_trace(ran, plan, stack)
        return samples

    def run(self, plan: Plan | str, stack: str | None = None, window: Window | None = None) -> VariantRun[Observation]:
        """Measure a variant against the control's images of the same prompts and seeds.

        It runs on the first ``variant_seeds`` seeds; the images that are returned are those of seed 0. ``plan`` is a
        Plan or its text, which may name the stack (``"double: 0-3 8-18"``). It holds in all denoising steps, or in the
        inclusive ``window`` of them, 0-based. Raises PlanError or CaseError where one of them doesn't fit the
        checkpoint, SurgeryError where the plan did not take hold, HarnessError where the control gives no unit.
        """
        plan, stack = over_stack(self.checkpoint.name, self.checkpoint.stacks, plan, stack)
        window = within(window, self.sampler.settings.steps, self.checkpoint.name)
        control = self.control
        variants = [self.observe(self.sample(plan, stack, seed, window=window)) for seed in range(self.variant_seeds)]
        values, summary = combined([self._against(*both) for both in zip(variants, control.seeds, strict=False)])
        harms = statistics.by_prompt(values["harm"], len(self.prompts))
        unit = statistics.seed_sd_interval(control.scores)
        summary |= {
            "seed_sd_low": unit.low,
            "seed_sd_high": unit.high,
            "worst_tenth": statistics.worst_tenth(harms),
            "lost_share": float((harms > self.seed_sd).mean()),
        }
        measured = Measurement(
            n=len(values["harm"]),
            prompts=len(self.prompts),
            values={k: tuple(round(float(x), 6) for x in v) for k, v in values.items()},
            summary=summary,
            latents_sha256=variants[0].samples.sha256(),
            left_out=self.metrics.left_out(len(self.prompts)),
            judge_check=self.judge_check,
        )
        return VariantRun(measured, variants[0])

    def _against(self, variant: Observation, base: Observation) -> SeedFigures:
        """The figures of a variant's images of one seed against the control's."""
        control = self.control
        harm = base.scores - variant.scores
        apart = distances(variant, base)
        values: dict[str, Values] = {
            "score": variant.scores,
            "harm": harm,
            "collapsed": variant.collapsed.astype(np.float64),
            **apart,
        }
        summary = {
            "harm": float(harm.mean()) / self.seed_sd,
            "seed_sd": self.seed_sd,
            "clip_delta": -float(harm.mean()),
            "collapsed": float(variant.collapsed.sum()),
            "psnr": float(pairs.psnr(apart["mse"].mean(keepdims=True))[0]),
            "latent_drift": _ratio(apart["latent"], control.reseed["latent"]),
            "pixel_drift": _ratio(apart["mse"], control.reseed["mse"]),
            "ssim_drift": _ratio(apart["ssim"], control.reseed["ssim"]),
            "image_drift": _ratio(apart["image"], control.reseed["image"]),
        }
        # What needs more prompts than there are is left out, not shown as a number that means nothing.
        if len(self.prompts) > 1:
            summary["mmd"] = statistics.paired_mmd(base.features, variant.features)
        if control.fid_null is not None:
            summary["fid"] = distribution.fid(base.features, variant.features)
            summary["fid_null"] = control.fid_null
            summary["fid_ratio"] = summary["fid"] / control.fid_null
        if variant.least is not None and base.least is not None:
            values["score_min"] = variant.least
            summary["clip_min"] = float((variant.least - base.least).mean())
        extra = self.metrics.compare((base.images, base.extra), (variant.images, variant.extra), control.extra)
        return SeedFigures({**values, **extra.values}, {**summary, **extra.summary})

    def control_measurement(self) -> Measurement:
        """The control's own scores over all seeds, and the figures that stand for it in a baseline."""
        control = self.control
        return Measurement(
            n=control.scores.size,
            prompts=len(self.prompts),
            values={"score": tuple(round(float(v), 6) for v in control.scores.ravel())},
            summary=control.summary(),
            latents_sha256=control.latents_sha256,
            left_out=self.metrics.left_out(len(self.prompts)),
            judge_check=self.judge_check,
            texts=tuple(self.prompts),
            categories=self.categories,
        )

    def control_images(self) -> Images:
        """The control's images of the first seed, (N, 3, H, W) uint8; variants run on the same prompts and seed."""
        return self.control.seeds[0].images

    @property
    def transformer(self) -> nn.Module:
        """The pipeline's transformer."""
        return self.sampler.transformer

    def timed_forward(self) -> Forward:
        """What the pipeline passes to the transformer at its first step, for a batch of at most eight prompts."""
        batch = min(TIMED_BATCH, self.checkpoint.settings.batch)
        prompts = [self.prompts[i % len(self.prompts)] for i in range(batch)]
        return Forward(self.sampler.forward_arguments(prompts), batch)

    def timed_images(self) -> ImageCall | None:
        """One call of the pipeline from prompts to pixels, for the batch of :meth:`timed_forward`."""
        batch = min(TIMED_BATCH, self.checkpoint.settings.batch)
        prompts = [self.prompts[i % len(self.prompts)] for i in range(batch)]
        return ImageCall(lambda: self.sampler.sample_plainly(prompts, seed=0), batch)

    def check_identity(self, stack: str) -> None:
        """Check that running every block through the view gives bitwise the model's own output. Raises SurgeryError."""
        prove_identity(self.sampler.transformer, self.sampler.forward_arguments(self.prompts[:2]), stack)


def _check_control(name: str, seeds: Sequence[Observation], scores: Values) -> None:
    """Raise CheckpointError where the un-ablated model's scores don't vary with the seed: harm would have no unit."""
    unit = statistics.pooled_seed_sd(scores)
    if unit > 0 and np.isfinite(unit):
        return
    collapsed, images = int(sum(seed.collapsed.sum() for seed in seeds)), scores.size
    raise CheckpointError(
        f"the control of {name} can't be measured: {collapsed} of its {images} images collapsed (no numbers, or one "
        f"colour), and its scores deviate by {unit:g} between seeds, which is the unit of harm; look for weights "
        "that are infinite, or try another dtype"
    )


def _ratio(values: Values, floor: float) -> float:
    return float(values.mean()) / floor if floor > 0 else float("nan")
