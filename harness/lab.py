"""One checkpoint on one device: loads once, measures its control once, then any number of variants."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch

from harness import loading, statistics
from harness import prompts as prompt_files
from harness.baselines import rounded
from harness.errors import CheckpointError, SurgeryError
from harness.metrics import distribution, pairs
from harness.metrics.judge import Features, OpenClipJudge
from harness.plan import Plan, identity
from harness.records import Fingerprint, Measurement
from harness.registry import Checkpoint
from harness.sampling import Sampler, Samples, pinned
from harness.surgery import ablate, check_trace, traced
from harness.tiny import checker, world

Images = npt.NDArray[np.uint8]
FLAT = 2.0 / 255.0  # standard deviation of an image; below it the image is constant
GREY = 128


@dataclass(frozen=True)
class Seen:
    """One set of images, one per prompt, with everything that is read from them."""

    samples: Samples
    images: Images
    collapsed: npt.NDArray[np.bool_]
    features: Features
    scores: npt.NDArray[np.float64]
    attributes: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Control:
    """The un-ablated model over all seeds. ``reseed`` is the mean distance between two seeds of one prompt."""

    seeds: tuple[Seen, ...]
    reseed: Mapping[str, float]
    fid_null: float | None
    seed_sd: float

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(P, S)."""
        return np.stack([s.scores for s in self.seeds], axis=1)

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
        return out | {name: float(values.mean()) for name, values in first.attributes.items()}


class Lab:
    """Measures variants of one checkpoint against its control.

    The unit of harm is the control's seed-to-seed sd in score points. Where a baseline is stored, its unit
    is fixed with :meth:`fix_unit`, so that a change of the control can't rescale every harm.

    Raises CheckpointError or PromptError where checkpoint, judge or prompts can't be used.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        prompts: Sequence[str] | None = None,
        device: torch.device | None = None,
    ) -> None:
        settings = checkpoint.settings
        self.checkpoint = checkpoint
        self.device = device or loading.pick_device(None)
        if prompts is None:
            if checkpoint.prompts_file is None:
                raise CheckpointError(f"checkpoint {checkpoint.name!r} comes with no prompts; give --dit-prompts FILE")
            prompts = prompt_files.read(checkpoint.prompts_file)
        self.prompts = list(prompts)
        self.layouts = world.parse_all(self.prompts) if settings.world and _all_parse(self.prompts) else None
        if checkpoint.judge_folder is None:
            raise CheckpointError(f"checkpoint {checkpoint.name!r} names no judge in its harness.json")
        pipeline = loading.load(checkpoint, self.device)
        self.sampler = Sampler(pipeline, checkpoint.family.name, settings, settings.batch)
        self.sampler.check(self.prompts)
        self.judge = OpenClipJudge(checkpoint.judge_folder, self.device)
        self.judge.embed_texts(self.prompts)
        self._seed_sd: float | None = None

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Everything that can change a number measured here."""
        settings = self.checkpoint.settings
        sampling = {
            f.name: getattr(settings, f.name)
            for f in dataclasses.fields(settings)
            if f.name in ("steps", "guidance", "height", "width", "max_sequence_length", "seeds", "batch")
        }
        if settings.negative_prompt:
            sampling["negative_prompt"] = settings.negative_prompt
        return Fingerprint(
            checkpoint=self.checkpoint.name,
            weights=loading.weights_digest(self.checkpoint.folder),
            judge=self.judge.id,
            prompts=prompt_files.digest(self.prompts),
            sampling=sampling,
            device=loading.device_key(self.device),
            dtype=settings.dtype,
            capability=loading.capability(self.device),
            threads=torch.get_num_threads(),
            versions=loading.versions(),
        )

    @cached_property
    def control(self) -> Control:
        """The control's images for every seed, measured once."""
        seen = tuple(
            self.look(self.sampler.sample(self.prompts, seed)) for seed in range(self.checkpoint.settings.seeds)
        )
        gaps: dict[str, list[float]] = {}
        for a, b in combinations(seen, 2):
            for name, values in _distances(a, b).items():
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
        )

    @property
    def seed_sd(self) -> float:
        """The unit of harm in score points."""
        return self._seed_sd if self._seed_sd is not None else self.control.seed_sd

    def fix_unit(self, seed_sd: float) -> None:
        """Take the unit of harm from a stored baseline."""
        self._seed_sd = seed_sd

    def look(self, samples: Samples) -> Seen:
        """Read everything there is to read from one set of images. A collapsed image scores like grey."""
        pixels = samples.images
        broken = ~torch.isfinite(pixels).flatten(1).all(dim=1)
        images = pixels.nan_to_num(0.5, 0.5, 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
        flat = images.reshape(len(images), -1).std(axis=1) / 255.0 < FLAT
        collapsed = broken.numpy() | flat
        images[collapsed] = GREY
        features = self.judge.embed_images(images)
        return Seen(
            samples=samples,
            images=images,
            collapsed=collapsed,
            features=features,
            scores=self.judge.score(features, self.prompts).astype(np.float64),
            attributes=self._attributes(images),
        )

    def _attributes(self, images: Images) -> dict[str, npt.NDArray[np.float64]]:
        """The exact checker's grades, where the prompts are the bundled world's."""
        if self.layouts is None:
            return {}
        read = checker.score(images, self.layouts)
        graded = {"grade": read.grade, "all_right": read.all_right, **read.attributes}
        return {name: values.astype(np.float64) for name, values in graded.items()}

    def sample(self, plan: Plan, stack: str, seed: int = 0) -> Samples:
        """Images under a plan, with the executed blocks checked against it.

        Raises SurgeryError where the blocks that ran are not the plan's.
        """
        transformer = self.sampler.transformer
        with ablate(transformer, plan, stack), traced(transformer, stack) as ran:
            samples = self.sampler.sample(self.prompts, seed)
        check_trace(ran, plan, stack)
        return samples

    def run(self, plan: Plan, stack: str) -> tuple[Measurement, Seen]:
        """Measure a variant on seed 0 of every prompt against the control's images of the same seed."""
        control = self.control
        seen = self.look(self.sample(plan, stack))
        base = control.seeds[0]
        harm = base.scores - seen.scores
        distances = _distances(seen, base)
        values: dict[str, npt.NDArray[np.float64]] = {
            "score": seen.scores,
            "harm": harm,
            "collapsed": seen.collapsed.astype(np.float64),
            **distances,
            **{f"{name}_loss": base.attributes[name] - v for name, v in seen.attributes.items()},
        }
        summary = {
            "harm": float(harm.mean()) / self.seed_sd,
            "seed_sd": self.seed_sd,
            "clip_delta": -float(harm.mean()),
            "collapsed": float(seen.collapsed.sum()),
            "psnr": float(pairs.psnr(distances["mse"].mean(keepdims=True))[0]),
            "latent_drift": _ratio(distances["latent"], control.reseed["latent"]),
            "pixel_drift": _ratio(distances["mse"], control.reseed["mse"]),
            "ssim_drift": _ratio(distances["ssim"], control.reseed["ssim"]),
            "image_drift": _ratio(distances["image"], control.reseed["image"]),
            **{f"{name}_loss": float(values[f"{name}_loss"].mean()) for name in seen.attributes},
        }
        # What needs more prompts than there are is left out, not shown as a number that means nothing.
        if len(self.prompts) > 1:
            summary["mmd"] = statistics.paired_mmd(base.features, seen.features)
        if control.fid_null is not None:
            summary["fid"] = distribution.fid(base.features, seen.features)
            summary["fid_null"] = control.fid_null
            summary["fid_ratio"] = summary["fid"] / control.fid_null
        measured = Measurement(
            n=len(harm),
            prompts=len(self.prompts),
            values={k: tuple(round(float(x), 6) for x in v) for k, v in values.items()},
            summary=summary,
            latents_sha256=seen.samples.sha256(),
        )
        return measured, seen

    def check_identity(self, stack: str) -> None:
        """Prove the mechanism on this model: every block behind a slot, and the output bitwise the same.

        Raises SurgeryError where it is not.
        """
        transformer = self.sampler.transformer
        arguments = self.sampler.forward_arguments(self.prompts[:2])
        length = self.checkpoint.stacks[stack]
        with pinned():
            plain = transformer(**arguments)[0]
            with ablate(transformer, identity(length), stack, force_slots=True):
                slotted = transformer(**arguments)[0]
        if not torch.equal(plain, slotted):
            worst = float((plain.float() - slotted.float()).abs().max())
            raise SurgeryError(f"stack {stack!r}: the identity behind slots differs from the model by {worst:.3g}")


def _all_parse(texts: Sequence[str]) -> bool:
    try:
        world.parse_all(texts)
    except ValueError:
        return False
    return True


def _distances(a: Seen, b: Seen) -> dict[str, npt.NDArray[np.float64]]:
    error = pairs.mse(a.images, b.images)
    return {
        "latent": pairs.latent_distance(a.samples.latents, b.samples.latents),
        "mse": error,
        "psnr": pairs.psnr(error),
        "ssim": 1.0 - pairs.ssim(a.images, b.images),
        "image": pairs.feature_distance(a.features, b.features),
    }


def _ratio(values: npt.NDArray[np.float64], floor: float) -> float:
    return float(values.mean()) / floor if floor > 0 else float("nan")
