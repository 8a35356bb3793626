"""The run: labs, baselines and reports shared by all tests of a session, without pytest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BaselineError
from harness.gates import baselines
from harness.gates.baselines import Baseline
from harness.gates.tolerances import Tolerance, load_tolerances
from harness.gates.validation.perturbations import Perturbation
from harness.models import prompts
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.random_weights.checkpoint import RandomCheckpoint
from harness.results.records import Fingerprint

if TYPE_CHECKING:
    from harness.lab.protocol import Laboratory


@dataclass(frozen=True)
class Judged:
    """What a checkpoint's values are compared with. ``baseline`` is None where there is no file.

    ``incomparable`` says why the stored values don't apply (other prompts, another judge): the verdict is
    then unjudged. ``exact`` is False where the file was measured on another device.
    """

    baseline: Baseline | None
    target: Path
    exact: bool
    tolerances: tuple[Tolerance, ...]
    incomparable: str = ""


@dataclass
class Bench:
    """Labs by checkpoint name, opened when first needed, all with the same device and prompts."""

    device: str | None = None
    prompts_file: Path | None = None
    threads: int | None = None
    updates: bool = False
    offload: str = "none"
    judge: str | None = None
    metrics: tuple[str, ...] = ()
    perturbations: tuple[Perturbation, ...] = ()
    labs: dict[str, Laboratory] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict[str, Judged])

    @cached_property
    def prompts(self) -> list[str] | None:
        """The prompts that were asked for; None means each checkpoint's own. Raises PromptError."""
        return prompts.read(self.prompts_file) if self.prompts_file else None

    def lab(self, checkpoint: Checkpoint, folder: Path) -> Laboratory:
        """The lab of a checkpoint, with the baselines under ``folder``. Raises HarnessError."""
        if checkpoint.name not in self.labs:
            self.labs[checkpoint.name] = self._open(checkpoint, folder)
        return self.labs[checkpoint.name]

    def _open(self, checkpoint: Checkpoint, folder: Path) -> Laboratory:
        import torch

        from harness.gates.validation.perturb import disturb
        from harness.lab.lab import Lab
        from harness.models.loading import pick_device, processor

        if self.threads:
            torch.set_num_threads(self.threads)
        if isinstance(checkpoint, RandomCheckpoint):
            from harness.lab.random_lab import RandomLab

            blind = RandomLab(checkpoint, device=pick_device(self.device))
            self.judged[checkpoint.name] = Judged(None, folder, False, (), blind.blind)
            return blind
        lab = Lab(
            checkpoint,
            prompts=self.prompts,
            device=pick_device(self.device),
            offload=self.offload,
            judge=self.judge,
            metrics=self.metrics,
        )
        for perturbation in self.perturbations:
            disturb(lab.sampler, perturbation)
        judged = judge_against(folder, lab.fingerprint, processor(lab.device), updates=self.updates)
        if judged.baseline is not None and not judged.incomparable:
            lab.fix_unit(judged.baseline.control["seed_sd"])
        self.judged[checkpoint.name] = judged
        return lab


def judge_against(folder: Path, fingerprint: Fingerprint, processor: str, *, updates: bool = False) -> Judged:
    """Find and read the baseline and the tolerances that apply; noise floors of another processor do not.

    ``processor`` is that of :func:`harness.models.loading.processor`.

    A run that updates looks only at the file that it will write. Raises BaselineError; also where an update
    would mix values that were measured differently into one file.
    """
    name, device, dtype = fingerprint.checkpoint, fingerprint.device, fingerprint.dtype
    target = folder / name / f"{device}-{dtype}.json"
    path, exact = baselines.choose_file(folder, name, device, dtype)
    toml = folder / "tolerances.toml"
    tolerances = tuple(load_tolerances(toml)) if toml.exists() else ()
    if path is None or (updates and not exact):
        return Judged(None, target, False, tolerances)
    baseline = baselines.load(path, name)
    if baseline.calibration.get("processor") != processor:
        baseline = baselines.without_floors(baseline)
    other = incomparable(baseline.facts, facts(fingerprint))
    if updates and other:
        raise BaselineError(f"{path} is not updated: this run is {other}; use the same, or move the file away")
    return Judged(baseline, target, exact, tolerances, other)


def facts(fingerprint: Fingerprint) -> dict[str, object]:
    """What a baseline file says of the circumstances of its values."""
    return {
        "weights": fingerprint.weights,
        "judge": fingerprint.judge,
        "prompts": fingerprint.prompts,
        "sampling": dict(fingerprint.sampling),
        "capability": fingerprint.capability,
        "threads": fingerprint.threads,
        "versions": dict(fingerprint.versions),
    }


def incomparable(stored: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Why values of now can't be held against stored ones, or nothing."""
    other = [name for name in ("prompts", "judge", "sampling") if stored.get(name) != now[name]]
    return f"measured with other {' and '.join(other)} than the baseline" if other else ""


def changes(stored: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What is different from the circumstances of the baseline: ``diffusers 0.41.0 -> 0.42.1``."""
    names_ = ("weights", "capability", "threads")
    out = [f"{name} {stored.get(name)} -> {now[name]}" for name in names_ if stored.get(name) != now[name]]
    old, new = stored.get("versions"), now["versions"]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        out += [f"{p} {old.get(p, '-')} -> {new.get(p, '-')}" for p in sorted({*old, *new}) if old.get(p) != new.get(p)]
    return out
