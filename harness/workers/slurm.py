"""Workers as jobs of Slurm, by submitit: each measures every N-th case, on a GPU of its own where it asks for one.

A job that gets the signal that its time is over, or that it is preempted, is put back into the queue with the same
part. The record files say what is done, so that it goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import HarnessError, first_line
from harness.extras import import_extra
from harness.results.journal import Shard
from harness.workers.store import Store
from harness.workers.work import Work
from harness.workers.worker import Say, run_part

JOBS = "jobs"  # of a run folder: submitit's files
_LOOK = 2.0  # seconds between looks at the jobs
_CORES = 4  # of a job that asks for no number


class SlurmWorker:
    """What runs in a job: one part of a work. submitit calls :meth:`checkpoint` at the signal before a job's end."""

    def __init__(self, work: Work, place: str, part: Shard, workers: int, threads: int | None) -> None:
        self.work, self.place, self.part, self.workers, self.threads = work, place, part, workers, threads

    def __call__(self) -> int:
        """Measure what the run folder lacks of the part; the number of the part."""
        run_part(self.work, Store(self.place), self.part, workers=self.workers, threads=self.threads)
        return self.part.number

    def checkpoint(self) -> Any:
        """What is put back into the queue: the same part."""
        return import_extra("submitit", "slurm", "--on slurm").helpers.DelayedSubmission(self)


def run(
    work: Work,
    store: Store,
    *,
    workers: int | None,
    threads: int | None = None,
    parameters: Mapping[str, str | int] | None = None,
    cluster: str = "slurm",
    say: Say = print,
) -> None:
    """Measure a work by jobs, one by default, and wait for them.

    ``parameters`` are submitit's own (``timeout_min``, ``slurm_partition``, ``gpus_per_node`` ...). ``cluster`` is
    ``slurm``, or ``local`` for processes of this machine that submitit starts.
    Raises HarnessError where submitit is not installed, there is no Slurm here or it doesn't know a parameter, the run
    folder is of this process alone, and, when all jobs have ended, where one failed.
    """
    submitit = import_extra("submitit", "slurm", "--on slurm")
    store.check_shared()
    store.check_writable()
    if cluster == "slurm" and not submitit.SlurmExecutor.affinity() > 0:
        raise HarnessError("--on slurm: there is no Slurm on this machine (srun is not found)")
    given = dict(parameters or {})
    folder = given.pop("folder", None) or (store.folder / JOBS if store.folder else JOBS)
    count = min(workers or 1, len(work.cases))
    executor = submitit.AutoExecutor(folder=str(folder), cluster=cluster)
    try:
        executor.update_parameters(**{"name": "dit-harness", "cpus_per_task": _CORES, **given})
    except (NameError, TypeError, ValueError) as error:
        raise HarnessError(f"--slurm: {first_line(error)}") from None
    # Jobs without a GPU may be on one machine, where nobody can say how many of them there are at a time.
    together = 1 if _asks_for_gpu(given) else count
    with executor.batch():
        jobs = [
            executor.submit(SlurmWorker(work, store.place, Shard(number, count), together, threads))
            for number in range(1, count + 1)
        ]
    say(f"jobs: {', '.join(job.job_id for job in jobs)}; their logs are in {folder}")
    try:
        _await(jobs, store, say)
    except KeyboardInterrupt:
        _interrupted([job for job in jobs if not job.done()], cluster, say)
        raise


def _interrupted(left: Sequence[Any], cluster: str, say: Say) -> None:
    """End jobs that are processes of this machine; say how to end those of Slurm, which go on without us."""
    if cluster == "local":
        for job in left:
            job.cancel()
    elif left:
        numbers = " ".join(job.job_id for job in left)
        say(f"these jobs go on, and what they measure is kept: {numbers}; end them with: scancel {numbers}")


def _asks_for_gpu(parameters: Mapping[str, str | int]) -> bool:
    """Whether each job gets a GPU of its own."""
    counts = [value for name, value in parameters.items() if "gpu" in name]
    return any(str(value) not in ("0", "") for value in counts) or "gpu" in str(parameters.get("slurm_gres", ""))


def _await(jobs: Sequence[Any], store: Store, say: Say) -> None:
    """Wait for all jobs. Raises HarnessError where one failed."""
    left, failed = dict(enumerate(jobs, start=1)), dict[int, str]()
    while left:
        for number, job in list(left.items()):
            if not job.done():
                continue
            del left[number]
            error = job.exception()
            if error is not None:
                failed[number] = first_line(error)
            say(f"job {job.job_id}: {'has ended' if error is None else 'failed: ' + first_line(error)}")
        if left:
            time.sleep(_LOOK)
    if failed:
        numbers = ", ".join(map(str, failed))
        raise HarnessError(
            f"of {len(jobs)} jobs, these failed: {numbers} ({next(iter(failed.values()))}); what is measured is in "
            f"{store.place}, and --resume goes on with it"
        )
