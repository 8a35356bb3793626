"""One checkpoint on one device: loads once, measures its control once, then any number of variants."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from harness.ablation.guidance import GuidancePass, check_two_passes
from harness.ablation.modifiers import PlacedModifier, in_order, read_modifiers, without_range
from harness.ablation.plan import Plan
from harness.ablation.steps import Window, within
from harness.errors import CaseError, CheckpointError
from harness.lab.ablated_images import sample_plans, sample_window
from harness.lab.cache import Cache
from harness.lab.control import Control, control_of, control_of_stored
from harness.lab.control_images import ControlImages
from harness.lab.image_time import measure_image_time
from harness.lab.layer_comparison import between_seeds
from harness.lab.observation import Observation
from harness.lab.observer import Observer
from harness.lab.pictures import by_prompt
from harness.lab.pictures import digest as pictures_digest
from harness.lab.protocol import Forward, VariantRun
from harness.lab.rounds import joined
from harness.lab.seeds import check_seeds
from harness.lab.to_lose import prompt_ignoring_harm
from harness.lab.variant_measurement import measure_variant
from harness.metrics import openclip
from harness.metrics.judge import OpenClipJudge
from harness.metrics.judge_check import check_judge
from harness.metrics.metric_set import open_metrics
from harness.models import environment, loading
from harness.models import prompts as prompt_files
from harness.models.batch_trial import find_batch
from harness.models.checkpoints import weight_files
from harness.models.checkpoints.cases import plan_of
from harness.models.checkpoints.pictures import check_pictures
from harness.models.checkpoints.resolve import Checkpoint, resolve
from harness.models.families.layered import Layered
from harness.models.sampler import Sampler, Samples
from harness.modifiers.base import Calibrations
from harness.modifiers.run import sample_modified
from harness.results.arrays import Images, Values
from harness.results.fingerprint import Fingerprint
from harness.results.judge_check import JudgeCheck
from harness.results.latency import TIMED_BATCH, ImageTime
from harness.results.records import Measurement
from harness.surgery.verify import prove_identity

# Settings that change the control's images.
_SAMPLING = ("steps", "guidance", "height", "width", "max_sequence_length", "seeds", "batch")


class Lab:
    """Measures variants of one checkpoint against its control.

    The unit of harm is the control's seed-to-seed sd in score points. Where a baseline is stored, its unit
    is fixed with :meth:`fix_unit`, so that a change of the control can't rescale every harm. ``checkpoint`` may be
    a name or a folder, too; prompts that aren't given are the checkpoint's own, or else the set that comes with the
    package; as a mapping they are prompts by category, as :func:`harness.models.prompts.categories` reads them.
    ``pictures`` belong to a checkpoint that takes pictures apart into layers, in place of prompts: pairs of an image
    and what is on it, of one aspect ratio, no two with the same text. Its images are the composites of the layers.
    ``judge`` is an open_clip folder or ``ARCHITECTURE/TAG`` instead of the checkpoint's own, by default
    ``ViT-L-14/openai``. With ``trust_judge`` a judge that fails its check ranks and gates all the same, and every
    record says so. ``metrics`` are extra ones (``"lpips"``, ``"dinov2=FOLDER"``); outside the bundled world the
    built-in ones are tried by themselves, unless it is ``["none"]``. ``offload`` is that of
    :func:`harness.models.loading.load`. ``variant_seeds`` is the number of seeds that a variant is run on, at most the
    control's. ``cache`` keeps the embeddings of the prompts and the control's images for other runs; with
    ``makes_control`` set, before anything is measured, the images are not taken from there.

    Raises CheckpointError, PromptError, DataError or MetricError where checkpoint, judge, prompts, ``pictures`` or one
    of ``metrics`` can't be used.
    """

    no_images_reason = ""  # see harness.lab.protocol

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        *,
        prompts: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        pictures: Sequence[tuple[Image.Image, str]] | None = None,
        device: torch.device | str | None = None,
        judge: str | None = None,
        metrics: Sequence[str] = (),
        offload: str = "none",
        variant_seeds: int = 1,
        trust_judge: bool = False,
        cache: Cache | None = None,
    ) -> None:
        if isinstance(checkpoint, str | Path):
            checkpoint = resolve(str(checkpoint))
        elif not isinstance(checkpoint, Checkpoint):
            raise CheckpointError(
                f"Lab takes a checkpoint's name or folder, not a {type(checkpoint).__name__}, as it loads the model "
                'itself: Lab("flux-tiny"); a pipeline of your own is saved first: pipeline.save_pretrained("FOLDER"), '
                'then Lab("FOLDER"); ablate(pipeline, plan) takes one as it is'
            )
        settings = checkpoint.settings
        check_seeds(checkpoint.name, settings.seeds, variant_seeds)
        check_pictures(checkpoint.name, checkpoint.family, pictures=pictures is not None, prompts=prompts is not None)
        self.checkpoint = checkpoint
        self.variant_seeds = variant_seeds
        self.device = device if isinstance(device, torch.device) else environment.pick_device(device)
        self.pictures = {} if pictures is None else by_prompt(pictures, settings.height)
        if self.pictures:
            prompts = list(self.pictures)
        elif prompts is None:
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
        self.sampler.on_halved = self._forget_batch
        if isinstance(self.sampler.adapter, Layered):
            self.sampler.adapter.take_pictures(self.pictures)
        # A pipeline that takes pictures reads the dtype of its text encoder for each of them.
        self._parks_encoders = self.device.type == "cuda" and offload == "none" and not self.pictures
        if self.device.type == "cuda" and not checkpoint.batch_given:
            settings = dataclasses.replace(settings, batch=find_batch(self.sampler, self.prompts, self.device))
            self.checkpoint = dataclasses.replace(checkpoint, settings=settings)
            self.sampler.settings, self.sampler.batch = settings, settings.batch
        self.notes = tuple(self.sampler.check(self.prompts))
        self.judge = OpenClipJudge(source, self.device)
        self.observer = Observer(self.judge, self.metrics, self.prompts)
        _ = self.observer.splits  # a prompt that the judge can't read is an error now
        self.cache = cache
        self.makes_control = False
        self._forward: Forward | None = None
        self.calibrations = Calibrations()
        self._seed_sd: float | None = None
        self._stored_control: Mapping[str, float] | None = None

    def __repr__(self) -> str:
        """The checkpoint, where it runs, on how many prompts, by which judge; measures nothing."""
        blocks = ", ".join(f"{length} {stack}" for stack, length in self.checkpoint.stacks.items())
        control = "measured" if "control" in vars(self) else "not measured yet"
        return (
            f"<Lab {self.checkpoint.name} ({self.checkpoint.family.transformer}, {blocks} blocks) on {self.device}, "
            f"{self.checkpoint.settings.dtype}; prompts: {len(self.prompts)}, judge: {self.judge.id}, "
            f"control: {control}>"
        )

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
            prompts=pictures_digest(self.pictures) if self.pictures else prompt_files.digest(self.prompts),
            metrics=self.metrics.fingerprint,
            offload=self.offload,
            machine=environment.machine(self.device),
            perturbed=self.sampler.perturbed,
        )
        sampling = dict(whole.sampling)
        if checkpoint.family.layered:
            sampling["layers"] = checkpoint.settings.layers
        if self.variant_seeds > 1:  # not in the baselines of before there was a choice
            sampling["variant_seeds"] = self.variant_seeds
        if self.sampler.halved:
            sampling["batch"] = self.sampler.batch
        return dataclasses.replace(whole, sampling=sampling)

    def _forget_batch(self, batch: int) -> None:
        """Say that the batch is another from now on, in the notes and in the fingerprint."""
        vars(self).pop("fingerprint", None)
        note = f"not enough memory for so many images at once: {batch} from now on (--dit-batch={batch})"
        self.notes = (*self.notes, note)

    @cached_property
    def control(self) -> Control:
        """The control's images for every seed, measured once. Raises HarnessError where its scores give no unit.

        Where :meth:`take_control` gave its figures, they are those of the seeds that variants are measured on.
        """
        if self._stored_control is not None:
            measured = [self._control_images.of(seed) for seed in range(self.variant_seeds)]
            return control_of_stored(self.checkpoint.name, measured, self._stored_control)
        seeds = self.control_seeds()
        extra = self.metrics.control([(s.images, s.extra) for s in seeds])
        if len(layers := [seed.layers for seed in seeds if seed.layers is not None]) == len(seeds):
            extra |= between_seeds(layers)
        return control_of(self.checkpoint.name, seeds, extra)

    def control_seeds(self) -> tuple[Observation, ...]:
        """The control's images of every seed, whether its figures were taken from a baseline or not."""
        return tuple(self._control_images.of(seed) for seed in range(self.checkpoint.settings.seeds))

    @cached_property
    def _control_images(self) -> ControlImages:
        return ControlImages(
            self.sampler,
            self.prompts,
            self.observer,
            self.fingerprint,
            self.cache,
            trusted=not self.makes_control,
            parks_encoders=self._parks_encoders,
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

    @cached_property
    def prompt_ignoring_harm(self) -> Values:
        """(P,) harm, in points of the score, of a model that ignores its prompt: what there is to lose."""
        return prompt_ignoring_harm(self.judge, self.control.seeds[0], self.prompts)

    def fix_unit(self, seed_sd: float) -> None:
        """Take the unit of harm from a stored baseline."""
        self._seed_sd = seed_sd

    def take_control(self, figures: Mapping[str, float]) -> None:
        """Take what is the control's over all of its seeds from a stored baseline, so that not all have to be made.

        ``figures`` are those of :meth:`harness.lab.control.Control.summary`; whether they are enough is for
        :func:`harness.lab.control.are_enough` to say. The unit of harm is the stored one, too.
        """
        self._stored_control = figures
        self.fix_unit(figures["seed_sd"])

    def anew(self) -> Lab:
        """A lab on the same loaded model that measures its control again, without a cache."""
        twin = copy.copy(self)
        for measured in ("control", "_control_images"):
            vars(twin).pop(measured, None)
        twin.cache, twin._forward = None, None  # noqa: SLF001 - its own class
        twin.calibrations = Calibrations()
        twin._parks_encoders = False  # noqa: SLF001 - its own class; a fault may be one of a text encoder
        self.sampler.fetch_encoders()
        return twin

    def observe(self, samples: Samples, indices: Sequence[int] | None = None) -> Observation:
        """Score and measure images of all prompts, or of those at ``indices``. A collapsed image scores like grey."""
        return self.observer.observe(samples, self._texts(indices))

    def _texts(self, indices: Sequence[int] | None) -> list[str]:
        return self.prompts if indices is None else [self.prompts[i] for i in indices]

    def sample(
        self,
        plan: Plan,
        stack: str,
        seed: int = 0,
        window: Window | None = None,
        indices: Sequence[int] | None = None,
        guidance_pass: GuidancePass | None = None,
    ) -> Samples:
        """Images under a plan, in a window of denoising steps or in all of them, the executed blocks checked.

        With a ``guidance_pass`` the plan holds in that pass alone. They are of all prompts, or of those at ``indices``:
        an image depends on its prompt and the seed alone, and on the others of its batch no more than arithmetic in
        another batch does.

        Raises SurgeryError where the blocks that ran are not the plan's (outside the window, the model's own),
        CaseError for a window that the sampling doesn't have, or a pass where it has a single one.
        """
        window = self._checked(window, guidance_pass)
        if window is not None or guidance_pass is not None:
            return sample_window(self.sampler, self._texts(indices), plan, stack, window, seed, guidance_pass)
        return self.sample_stacks({stack: plan}, seed, indices)

    def _checked(self, window: Window | None, guidance_pass: GuidancePass | None) -> Window | None:
        """The window, None where it is all steps. Raises CaseError for what the sampling does not have."""
        settings = self.sampler.settings
        if guidance_pass is not None:
            check_two_passes(self.checkpoint.name, guided=self.checkpoint.family.guided(settings))
        return within(window, settings.steps, self.checkpoint.name)

    def sample_stacks(self, plans: Mapping[str, Plan], seed: int = 0, indices: Sequence[int] | None = None) -> Samples:
        """Images under plans of several stacks at once, the executed blocks checked. Raises SurgeryError."""
        return sample_plans(self.sampler, self._texts(indices), plans, seed)

    def run(
        self,
        plan: Plan | str | None = None,
        stack: str | None = None,
        window: Window | None = None,
        indices: Sequence[int] | None = None,
        *,
        modifiers: str | Sequence[PlacedModifier] = (),
        guidance_pass: GuidancePass | None = None,
    ) -> VariantRun[Observation]:
        """Measure a variant against the control's images of the same prompts and seeds.

        It runs on the first ``variant_seeds`` seeds; the images that are returned are those of seed 0. ``plan`` is a
        Plan or its text, which may name the stack (``"double: 0-3 8-18"``; by diffusers' name, too). It holds in all
        denoising steps, or in the inclusive ``window`` of them, 0-based; with a ``guidance_pass``, in that pass of
        guidance alone, which takes the time of both. With ``indices`` it is measured on those
        prompts only, and what compares whole sets of images (FID, MMD) is left out;
        :func:`harness.lab.rounds.joined` puts such measurements together. ``modifiers`` hold beside the plan, or
        without one: a text (``"fewer-steps.3"``, ``"single-L02-07-reuse.n2+fewer-steps.3"``), or what it is read as.

        Raises PlanError or CaseError where one of them doesn't fit the checkpoint, SurgeryError where the plan or a
        modifier did not take hold, HarnessError where the control gives no unit.
        """
        if modifiers or plan is None:
            if guidance_pass is not None:
                raise CaseError(f"only a plan can hold in one pass of guidance ({guidance_pass}), without modifiers")
            sample = self._sampling_modified(plan, stack, window, indices, modifiers)
            return self._measured(sample, indices)
        plan, stack = plan_of(self.checkpoint, plan, stack)
        window = self._checked(window, guidance_pass)
        return self._measured(lambda seed: self.sample(plan, stack, seed, window, indices, guidance_pass), indices)

    def _sampling_modified(
        self,
        plan: Plan | str | None,
        stack: str | None,
        window: Window | None,
        indices: Sequence[int] | None,
        modifiers: str | Sequence[PlacedModifier],
    ) -> Callable[[int], Samples]:
        """What makes the images of a seed under modifiers. Raises CaseError or PlanError for what doesn't fit."""
        name, stacks, steps = self.checkpoint.name, self.checkpoint.stacks, self.sampler.settings.steps
        read = read_modifiers(modifiers) if isinstance(modifiers, str) else modifiers
        placed = in_order([each.checked(name, stacks, steps) for each in read])
        if window is not None or not placed or without_range(placed):
            raise CaseError(
                "run() takes a plan, modifiers or both; a window of steps is written at each modifier "
                "(reuse.n2-steps-0-1), and a modifier of blocks has its range (single-L02-07-reuse.n2)"
            )
        plans: dict[str, Plan] = {}
        if plan is not None:
            whole, on = plan_of(self.checkpoint, plan, stack)
            plans[on] = whole
        return lambda seed: sample_modified(
            self.sampler,
            self._texts(indices),
            placed,
            plans,
            seed,
            calibration_prompts=self.prompts,
            calibrations=self.calibrations,
        )

    def run_stacks(self, plans: Mapping[str, Plan]) -> VariantRun[Observation]:
        """As :meth:`run`, of plans of several stacks that hold together, in all denoising steps."""
        return self._measured(lambda seed: self.sample_stacks(plans, seed))

    def _measured(
        self, sample: Callable[[int], Samples], indices: Sequence[int] | None = None
    ) -> VariantRun[Observation]:
        """A variant's images of each seed, against the control's: a model that can't run says so by its control."""
        control = self.control
        self._control_images.encode_prompts()
        variants = [self.observe(sample(seed), indices) for seed in range(self.variant_seeds)]
        measured = measure_variant(
            variants,
            control,
            seed_sd=self.seed_sd,
            metrics=self.metrics,
            to_lose=self.prompt_ignoring_harm,
            judge_check=self.judge_check,
            indices=indices,
        )
        return VariantRun(measured, variants[0])

    def joined(self, first: Measurement, second: Measurement) -> Measurement:
        """Two measurements of one variant, of a round each, as one. Raises ValueError where they share a prompt."""
        both = joined(first, second, self.prompt_ignoring_harm)
        return dataclasses.replace(both, latents_sha256=first.latents_sha256 and second.latents_sha256)

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
        """What the pipeline passes to the transformer at its first step, for a batch of at most four prompts."""
        self._control_images.encode_prompts()
        prompts = self.timed_prompts()
        if self._forward is None or self._forward.batch != len(prompts):  # a batch that was halved is another one
            self._forward = Forward(self.sampler.forward_arguments(prompts), len(prompts))
        return self._forward

    @cached_property
    def image_time(self) -> ImageTime:
        """What an image takes beside its forwards, on whole images of the control in the batch of a timed forward.

        Measured once, as an ablation changes nothing but the forwards.
        """
        return measure_image_time(self.sampler, self.timed_prompts(), self.device)

    def timed_prompts(self) -> list[str]:
        """As many as one forward takes, but at most four; from the first on again where there are fewer."""
        fits = self.sampler.batch if self.sampler.halved else self.checkpoint.settings.batch
        return [self.prompts[i % len(self.prompts)] for i in range(min(TIMED_BATCH, fits))]

    def check_identity(self, stack: str) -> None:
        """Check that running every block through the view gives bitwise the model's own output. Raises SurgeryError."""
        prove_identity(self.sampler.transformer, self.sampler.forward_arguments(self.prompts[:2]), stack)
