"""One checkpoint on one device: loads once, measures its control once, then any number of variants."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from harness.ablation.case import over_stack
from harness.ablation.plan import Plan
from harness.ablation.steps import Window, within
from harness.lab.observation import Observation, distances, to_bytes
from harness.lab.protocol import Forward
from harness.metrics import distribution, openclip, pairs, registry
from harness.metrics.attributes import attribute_grades
from harness.metrics.judge import OpenClipJudge
from harness.metrics.metric_set import Panel
from harness.models import environment, loading
from harness.models import prompts as prompt_files
from harness.models.checkpoints import weight_files
from harness.models.checkpoints.resolve import Checkpoint, resolve
from harness.models.sampler import Sampler, Samples
from harness.results import statistics
from harness.results.arrays import Images
from harness.results.fingerprint import Fingerprint
from harness.results.records import Measurement
from harness.results.statistics import rounded
from harness.surgery.trace import check_trace, traced
from harness.surgery.verify import prove_identity
from harness.surgery.view import ablate
from harness.surgery.windowed import in_window
from harness.tiny import world

__all__ = ["TIMED", "Control", "Lab", "Observation"]

TIMED = 8  # images in the forward that is timed, where the checkpoint's batch allows them


@dataclass(frozen=True)
class Control:
    """The un-ablated model over all seeds. ``reseed`` is the mean distance between two seeds of one prompt."""

    seeds: tuple[Observation, ...]
    reseed: Mapping[str, float]
    fid_null: float | None
    seed_sd: float
    extra: Mapping[str, float]  # the extra metrics' own figures

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(P, S)."""
        return np.stack([s.scores for s in self.seeds], axis=1)

    @cached_property
    def latents_sha256(self) -> str:
        """Of the first seed; every case is held against it."""
        return self.seeds[0].samples.sha256()

    def summary(self) -> dict[str, float]:
        """The figures that stand for the control in a baseline."""
        first = self.seeds[0]
        out = {
            "score": float(self.scores.mean()),
            "seed_sd": self.seed_sd,
            "collapsed": float(sum(s.collapsed.sum() for s in self.seeds)),
            **{f"reseed_{name}": value for name, value in self.reseed.items()},
        }
        if self.fid_null is not None:
            out["fid_null"] = self.fid_null
        return out | {name: float(values.mean()) for name, values in first.attributes.items()} | dict(self.extra)


class Lab:
    """Measures variants of one checkpoint against its control.

    The unit of harm is the control's seed-to-seed sd in score points. Where a baseline is stored, its unit
    is fixed with :meth:`fix_unit`, so that a change of the control can't rescale every harm. ``checkpoint`` may be
    a name or a folder, too; prompts that aren't given are the checkpoint's own, or else the set that comes with the
    package. ``judge`` is an open_clip folder or ``ARCHITECTURE/TAG`` instead of the checkpoint's own, by default
    ``ViT-L-14/openai``. ``metrics`` are extra ones (``"lpips"``, ``"dinov2=FOLDER"``); outside the bundled world the
    built-in ones are tried by themselves, unless it is ``["none"]``. ``offload`` is that of
    :func:`harness.models.loading.load`.

    Raises CheckpointError, PromptError or MetricError where checkpoint, judge, prompts or a metric that was asked for
    can't be used.
    """

    no_images_reason = ""  # see harness.lab.protocol

    def __init__(
        self,
        checkpoint: Checkpoint | str,
        *,
        prompts: Sequence[str] | None = None,
        device: torch.device | None = None,
        judge: str | None = None,
        metrics: Sequence[str] = (),
        offload: str = "none",
    ) -> None:
        if isinstance(checkpoint, str):
            checkpoint = resolve(checkpoint)
        settings = checkpoint.settings
        self.checkpoint = checkpoint
        self.device = device or environment.pick_device(None)
        if prompts is None:
            prompts = prompt_files.read(checkpoint.prompts_file or prompt_files.DEFAULT)
        self.prompts = list(prompts)
        self.layouts = world.parse_all(self.prompts) if settings.world and _all_parse(self.prompts) else None
        # What is wrong with a judge or a metric is said before a large model is loaded.
        source = openclip.find(judge or openclip.of_checkpoint(checkpoint))
        opened = registry.open_all(metrics, self.device, trying=not settings.world)
        self.panel = Panel(opened.metrics, opened.left_out)
        self.offload = offload
        pipeline = loading.load(checkpoint, self.device, offload=offload)
        self.sampler = Sampler(pipeline, checkpoint.family.name, settings, settings.batch)
        self.notes = tuple(self.sampler.check(self.prompts))
        self.judge = OpenClipJudge(source, self.device)
        self._split = self.judge.splits(self.prompts)
        self._seed_sd: float | None = None

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Everything that can change a number measured here."""
        settings = self.checkpoint.settings
        added = () if self.checkpoint.lora is None else (self.checkpoint.lora,)
        sampling = {
            f.name: getattr(settings, f.name)
            for f in dataclasses.fields(settings)
            if f.name in ("steps", "guidance", "height", "width", "max_sequence_length", "seeds", "batch")
        }
        if settings.negative_prompt:
            sampling["negative_prompt"] = settings.negative_prompt
        return Fingerprint(
            checkpoint=self.checkpoint.name,
            weights=weight_files.weights_digest(self.checkpoint.folder, *added),
            judge=self.judge.id,
            prompts=prompt_files.digest(self.prompts),
            sampling=sampling,
            device=environment.device_key(self.device),
            dtype=settings.dtype,
            capability=environment.capability(self.device),
            threads=torch.get_num_threads(),
            versions=environment.versions(*(["peft"] if added else [])),
            offload=self.offload,
            metrics=self.panel.fingerprint,
            machine=environment.machine(self.device),
            perturbed=self.sampler.perturbed,
        )

    @cached_property
    def control(self) -> Control:
        """The control's images for every seed, measured once."""
        seen = tuple(
            self.observe(self.sampler.sample(self.prompts, seed)) for seed in range(self.checkpoint.settings.seeds)
        )
        gaps: dict[str, list[float]] = {}
        for a, b in combinations(seen, 2):
            for name, values in distances(a, b).items():
                gaps.setdefault(name, []).append(float(values.mean()))
        null = None
        if len(self.prompts) >= distribution.LEAST:
            null = float(np.mean([distribution.fid(a.features, b.features) for a, b in combinations(seen, 2)]))
        scores = np.stack([s.scores for s in seen], axis=1)
        return Control(
            seeds=seen,
            reseed={name: float(np.mean(values)) for name, values in gaps.items() if name != "psnr"},
            fid_null=null,
            # As a baseline stores it, so that the run that writes one and the next have the same unit.
            seed_sd=rounded(statistics.pooled_seed_sd(scores)),
            extra=self.panel.control([(s.images, s.extra) for s in seen]),
        )

    @property
    def seed_sd(self) -> float:
        """The unit of harm in score points."""
        return self._seed_sd if self._seed_sd is not None else self.control.seed_sd

    def fix_unit(self, seed_sd: float) -> None:
        """Take the unit of harm from a stored baseline."""
        self._seed_sd = seed_sd

    def anew(self) -> Lab:
        """A lab on the same loaded model that has measured nothing yet, not even the control."""
        twin = copy.copy(self)
        vars(twin).pop("control", None)
        return twin

    def observe(self, samples: Samples) -> Observation:
        """Read everything there is to read from one set of images. A collapsed image scores like grey."""
        images, collapsed = to_bytes(samples.images)
        features = self.judge.embed_images(images)
        return Observation(
            samples=samples,
            images=images,
            collapsed=collapsed,
            features=features,
            scores=self.judge.score(features, self.prompts).astype(np.float64),
            least=self.judge.least(features, self.prompts).astype(np.float64) if self._split else None,
            attributes=attribute_grades(images, self.layouts),
            extra=self.panel.read(images, self.prompts),
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

    def run(
        self, plan: Plan | str, stack: str | None = None, window: Window | None = None
    ) -> tuple[Measurement, Observation]:
        """Measure a variant on seed 0 of every prompt against the control's images of the same seed.

        ``plan`` is a Plan or its text, which may name the stack (``"double: 0-3 8-18"``). It holds in all denoising
        steps, or in the inclusive ``window`` of them, 0-based. Raises PlanError or CaseError where one of them doesn't
        fit the checkpoint, SurgeryError where the plan did not take hold.
        """
        plan, stack = over_stack(self.checkpoint.name, self.checkpoint.stacks, plan, stack)
        window = within(window, self.sampler.settings.steps, self.checkpoint.name)
        control = self.control
        seen = self.observe(self.sample(plan, stack, window=window))
        base = control.seeds[0]
        harm = base.scores - seen.scores
        apart = distances(seen, base)
        values: dict[str, npt.NDArray[np.float64]] = {
            "score": seen.scores,
            "harm": harm,
            "collapsed": seen.collapsed.astype(np.float64),
            **apart,
            **{f"{name}_loss": base.attributes[name] - v for name, v in seen.attributes.items()},
        }
        summary = {
            "harm": float(harm.mean()) / self.seed_sd,
            "seed_sd": self.seed_sd,
            "clip_delta": -float(harm.mean()),
            "collapsed": float(seen.collapsed.sum()),
            "psnr": float(pairs.psnr(apart["mse"].mean(keepdims=True))[0]),
            "latent_drift": _ratio(apart["latent"], control.reseed["latent"]),
            "pixel_drift": _ratio(apart["mse"], control.reseed["mse"]),
            "ssim_drift": _ratio(apart["ssim"], control.reseed["ssim"]),
            "image_drift": _ratio(apart["image"], control.reseed["image"]),
            **{f"{name}_loss": float(values[f"{name}_loss"].mean()) for name in seen.attributes},
        }
        # What needs more prompts than there are is left out, not shown as a number that means nothing.
        if len(self.prompts) > 1:
            summary["mmd"] = statistics.paired_mmd(base.features, seen.features)
        if control.fid_null is not None:
            summary["fid"] = distribution.fid(base.features, seen.features)
            summary["fid_null"] = control.fid_null
            summary["fid_ratio"] = summary["fid"] / control.fid_null
        if seen.least is not None and base.least is not None:
            values["score_min"] = seen.least
            summary["clip_min"] = float((seen.least - base.least).mean())
        extra = self.panel.compare((base.images, base.extra), (seen.images, seen.extra), control.extra)
        values |= extra[0]
        summary |= extra[1]
        measured = Measurement(
            n=len(harm),
            prompts=len(self.prompts),
            values={k: tuple(round(float(x), 6) for x in v) for k, v in values.items()},
            summary=summary,
            latents_sha256=seen.samples.sha256(),
            left_out=self.panel.left_out(len(self.prompts)),
        )
        return measured, seen

    def control_measurement(self) -> Measurement:
        """The control's own scores over all seeds, and the figures that stand for it in a baseline."""
        control = self.control
        return Measurement(
            n=control.scores.size,
            prompts=len(self.prompts),
            values={"score": tuple(round(float(v), 6) for v in control.scores.ravel())},
            summary=control.summary(),
            latents_sha256=control.latents_sha256,
            left_out=self.panel.left_out(len(self.prompts)),
        )

    def control_images(self) -> Images:
        """Those of the seed that variants are measured on."""
        return self.control.seeds[0].images

    @property
    def transformer(self) -> nn.Module:
        """The pipeline's transformer."""
        return self.sampler.transformer

    def timed_forward(self) -> Forward:
        """What the pipeline passes at its first step, for as many prompts as are timed together."""
        batch = min(TIMED, self.checkpoint.settings.batch)
        prompts = [self.prompts[i % len(self.prompts)] for i in range(batch)]
        return Forward(self.sampler.forward_arguments(prompts), batch)

    def check_identity(self, stack: str) -> None:
        """Prove the mechanism on this model: every block behind a slot, and the output bitwise the same.

        Raises SurgeryError where it is not.
        """
        prove_identity(self.sampler.transformer, self.sampler.forward_arguments(self.prompts[:2]), stack)


def _all_parse(texts: Sequence[str]) -> bool:
    try:
        world.parse_all(texts)
    except ValueError:
        return False
    return True


def _ratio(values: npt.NDArray[np.float64], floor: float) -> float:
    return float(values.mean()) / floor if floor > 0 else float("nan")
