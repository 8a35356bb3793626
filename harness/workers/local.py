"""Workers as processes of this machine: each measures every N-th case, on a GPU of its own where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from harness.errors import HarnessError
from harness.results.journal import Shard
from harness.workers.device_share import VISIBLE, Share, gpu_names, shares
from harness.workers.store import Store
from harness.workers.work import FILE, Work
from harness.workers.worker import Say, run_part


def run(work: Work, store: Store, *, workers: int | None, threads: int | None = None, say: Say = print) -> None:
    """Measure a work by so many workers (default: one a GPU, else one); one alone is this process itself.

    Raises HarnessError where the run folder can't be seen by another process, as :func:`run_part` does where there is
    one worker, and else, when all have ended, where one of them failed: it has said why.
    """
    gpus = _gpus(work.model.device)
    count = min(workers or len(gpus) or 1, len(work.cases))
    if count == 1:
        run_part(work, store, threads=threads, say=say)
        return
    if not store.shared:
        raise HarnessError(f"{store.place} is seen by this process alone; give --out another URL, or --workers 1")
    codes = _run_processes(store, shares(count, gpus), threads)
    failed = [f"{number} ({_how_it_ended(code)})" for number, code in enumerate(codes, start=1) if code]
    if failed:
        raise HarnessError(
            f"of {count} workers, these did not end well: {', '.join(failed)}; what is measured is in {store.place}, "
            "and --resume goes on with it"
        )


def _gpus(device: str | None) -> tuple[str, ...]:
    if device is not None and not device.startswith("cuda"):
        return ()
    import torch  # here: the commands that use this module load no torch before their input is checked

    return gpu_names(device, torch.cuda.device_count(), os.environ.get(VISIBLE))


def command(store: Store, part: Shard, share: Share, threads: int | None) -> list[str]:
    """The command line of one worker's process."""
    words = ["worker", f"{store.place}/{FILE}", "--run", store.place, "--part", f"{part.number}/{part.count}"]
    words += ["--sharing", str(share.workers), "--parent", str(os.getpid())]
    if (count := threads or share.threads) is not None:
        words += ["--threads", str(count)]
    return [sys.executable, "-m", "harness", *words]


def _run_processes(store: Store, taken: Sequence[Share], threads: int | None) -> list[int]:
    """Start a worker for each share, and wait for all of them; their exit codes."""
    count = len(taken)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, share in enumerate(taken, start=1):
            words = command(store, Shard(number, count), share, threads)
            environment = {**os.environ, **share.environment}
            processes.append(subprocess.Popen(words, env=environment))  # noqa: S603 - this harness itself
        return [process.wait() for process in processes]
    finally:  # after Ctrl-C, for example
        for process in processes:
            if process.poll() is None:
                process.terminate()


def _how_it_ended(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
