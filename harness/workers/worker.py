"""A worker: measures cases of a work, and writes each record into the run folder as soon as there is one.

What the run folder holds already is not measured again, so that a worker that was stopped or killed goes on where it
was, and loses the case in flight at most.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.ablation.case import Case
from harness.errors import CaseError, HarnessError, first_line
from harness.gates.reference import reference_for
from harness.gates.verdict import unjudged
from harness.models.checkpoints import resolve
from harness.models.checkpoints.changed_settings import SettingsChange, change_settings
from harness.models.random_weights import checkpoint as random_weights
from harness.results.journal import WHOLE, Shard
from harness.results.records import Kind, Record, Status, Verdict
from harness.workers import record_files
from harness.workers.case_records import control_record, latency_record, quality_record
from harness.workers.device_share import threads_of, why_not_timed
from harness.workers.store import Store
from harness.workers.work import Model, Work, cases_of

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol
    from harness.models.checkpoints.resolve import Checkpoint

Say = Callable[[str], None]


class Worker:
    """A worker with its model loaded. ``workers`` use its device, itself included: it times no case where others do.

    Raises HarnessError, before a model is loaded, where the run folder can't be written or a case doesn't fit the
    checkpoint, and where the run folder holds records that were measured differently.
    """

    def __init__(self, work: Work, store: Store, *, workers: int = 1, threads: int | None = None) -> None:
        store.check_writable()
        checkpoint = open_checkpoint(work.model)
        cases = cases_of(work, checkpoint.name, checkpoint.stacks, checkpoint.settings.steps)
        self.cases = {case.id: case for case in cases}
        self.damaged: list[str] = []
        records = record_files.read_all(store, self.damaged.append)
        self._work, self._store, self._workers = work, store, workers
        self._lab = _open_lab(work, checkpoint, threads or threads_of(workers))
        record_files.check_alike(records, self._lab.fingerprint, store.place)
        folder = work.measuring.baselines
        self._reference = None if folder is None else reference_for(self._lab, Path(folder))
        control = next((key for key in records if key[0] is Kind.CONTROL), None)
        if control is None or not record_files.is_done(records[control]):
            record_files.write(store, control_record(self._lab, self._reference, run=store.name))

    def measure(self, name: str, *, workers: int | None = None) -> bool:
        """Measure the case of that id, where the run folder lacks it; whether there was anything to do.

        ``workers`` use the device now. What measuring raises becomes a record. Raises HarnessError where a record
        can't be written.
        """
        case, busy = self.cases[name], False
        for kind in (Kind.QUALITY, Kind.LATENCY):
            timed = kind is Kind.LATENCY
            if timed and (not case.in_whole_forwards or not self._work.measuring.latency):
                continue
            before = record_files.read(self._store, kind, case.id)
            if record_files.is_done(before):
                continue
            alone = workers or self._workers
            if before is not None and timed and why_not_timed(alone) and not before.error:
                continue  # it says already that it was not measured
            busy = True
            if timed:
                self._time(case, alone)
            else:
                self._make_images(case)
        return busy

    def _make_images(self, case: Case) -> None:
        store = self._store
        with tempfile.TemporaryDirectory() as temporary:
            folder = store.folder or Path(temporary)
            try:
                record, keep_pictures = quality_record(
                    self._lab, case, self._reference, run=store.name, pictures=folder
                )
            except Exception as error:  # noqa: BLE001 - whatever a case raises, the others are measured
                record_files.write(store, self._raised(case, Kind.QUALITY, error))
                return
            record_files.write(store, record)
            if problem := keep_pictures():
                self.damaged.append(problem)
            if store.folder is None:
                store.upload(folder)

    def _time(self, case: Case, workers: int) -> None:
        if why := why_not_timed(workers):
            fingerprint = self._lab.fingerprint
            record = Record.of(case, Kind.LATENCY, fingerprint, unjudged(why), run=self._store.name)
        else:
            rounds = self._work.measuring.rounds
            try:
                record = latency_record(self._lab, case, self._reference, run=self._store.name, rounds=rounds)
            except Exception as error:  # noqa: BLE001 - as in _make_images()
                record = self._raised(case, Kind.LATENCY, error)
        record_files.write(self._store, record)

    def _raised(self, case: Case, kind: Kind, error: Exception) -> Record:
        verdict = Verdict(Status.ERROR, notes=(first_line(error, with_type=True),))
        return Record.of(case, kind, self._lab.fingerprint, verdict, run=self._store.name)


def run_part(
    work: Work,
    store: Store,
    part: Shard = WHOLE,
    *,
    workers: int = 1,
    threads: int | None = None,
    parent: int | None = None,
    say: Say = print,
) -> None:
    """Measure every N-th case of a work, or all of them, one after the other, and say a line for each.

    With ``parent``, the id of the process that started this one, it stops before the next case once that is gone.
    Raises HarnessError as :class:`Worker`.
    """
    worker = Worker(work, store, workers=workers, threads=threads)
    own = [entry.id for index, entry in enumerate(work.cases) if part.takes(index)]
    for number, name in enumerate(own, start=1):
        if parent is not None and os.getppid() != parent:
            raise HarnessError("the process that started this worker is gone; go on by --resume")
        how = "measured" if worker.measure(name) else "was measured before"
        say(f"{name}: {how} ({number} of {len(own)})")
    for line in worker.damaged:
        say(line)


def open_checkpoint(model: Model) -> Checkpoint:
    """The checkpoint of a work, without its weights loaded. Raises CheckpointError."""
    change = settings_of(model)
    if model.weights is not None:
        architecture = random_weights.resolve(model.checkpoint, model.weights, dtype=model.dtype)
        return change_settings(architecture, change, architecture.config)
    checkpoint = resolve.resolve(model.checkpoint, dtype=model.dtype)
    return change_settings(checkpoint, change, resolve.transformer_config(checkpoint))


def settings_of(model: Model) -> SettingsChange:
    """What replaces the checkpoint's settings."""
    return SettingsChange(
        steps=model.steps, width=model.width, height=model.height, seeds=model.control_seeds, batch=model.batch
    )


def _open_lab(work: Work, checkpoint: Checkpoint, threads: int | None) -> LabProtocol:
    """Load the model, with so many of torch's threads (None: its own number)."""
    # Here, since a wrong work file is said before torch is loaded.
    import torch

    from harness.models.environment import pick_device

    if threads is not None:
        torch.set_num_threads(threads)
    device, measuring = pick_device(work.model.device), work.measuring
    if isinstance(checkpoint, random_weights.RandomCheckpoint):
        if measuring.baselines is not None or measuring.prompts is not None:
            raise CaseError("random weights make no images: leave out baselines and prompts")
        from harness.lab.random_lab import RandomLab

        return RandomLab(checkpoint, device=device)
    from harness.lab.lab import Lab  # loads judges and metrics, too

    return Lab(
        checkpoint,
        prompts=measuring.prompts,
        device=device,
        judge=measuring.judge,
        metrics=measuring.metrics,
        offload=work.model.offload,
        variant_seeds=measuring.seeds,
        trust_judge=measuring.trust_judge,
    )
