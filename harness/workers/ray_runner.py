"""Workers as actors of a Ray cluster: one a GPU, or one a CPU where the cluster has no GPU.

The driver gives each actor one case after the other. A case whose actor died goes to another one, and a new actor takes
the place of the lost one after a rest (:mod:`harness.workers.dispatch`). Ray itself repeats nothing
(``max_restarts=0``, ``max_task_retries=0``): the record files say what is done.
"""

from __future__ import annotations

import math
import os
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from harness.ablation.case import Case
from harness.errors import HarnessError, first_line
from harness.extras import import_extra
from harness.interrupts import sigterm_kept
from harness.results.records import Kind, Record, Status, Verdict
from harness.workers import record_files
from harness.workers.device_share import threads_of
from harness.workers.dispatch import Dispatch, Limits
from harness.workers.store import Store
from harness.workers.work import Work, cases_of
from harness.workers.worker import Say, Worker, open_checkpoint

_LOOK = 1.0  # seconds between looks at workers that rest
_START = 300.0  # seconds after which an actor that could not be placed, or didn't open its model, has failed


class RayWorker:
    """What runs in an actor: a worker of one run folder."""

    def __init__(self, work: Work, place: str) -> None:
        self._work, self._store = work, Store(place)
        self._worker: Worker | None = None

    def open(self, workers: int, threads: int | None) -> tuple[str, int]:
        """Load the model; the name of this machine, and the id of this process. Raises HarnessError as Worker."""
        try:
            self._worker = Worker(self._work, self._store, workers=workers, threads=threads)
        except HarnessError as error:
            raise HarnessError(str(error)) from None  # one of its subclasses can't be sent to the driver
        return socket.gethostname(), os.getpid()

    def measure(self, case: str, workers: int) -> bool:
        """Measure one case, while so many workers use this device; whether there was anything to do."""
        assert self._worker is not None  # measure() is called once open() has returned
        return self._worker.measure(case, workers=workers)


@dataclass
class _Actor:
    """An actor, and the call that it is working at."""

    handle: Any
    call: Any
    since: float
    host: str = ""  # empty until its model is loaded


@dataclass
class _Cluster:
    """What is the same for all actors of a run."""

    ray: Any
    work: Work
    store: Store
    gpus: bool
    hosts: int
    workers: int
    threads: int | None
    actors: dict[int, _Actor] = field(default_factory=dict[int, _Actor])

    def start(self, number: int) -> None:
        """Start an actor in the place of that number."""
        size: dict[str, Any] = {"num_gpus": 1} if self.gpus else {"num_cpus": 1}
        remote = self.ray.remote(max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD", **size)(RayWorker)
        handle = remote.remote(self.work, self.store.place)
        together = 1 if self.gpus else math.ceil(self.workers / self.hosts)
        call = handle.open.remote(together, self.threads or threads_of(together))
        self.actors[number] = _Actor(handle, call, time.monotonic())

    def measure(self, number: int, case: str) -> None:
        """Let an actor measure a case."""
        actor = self.actors[number]
        together = 1 if self.gpus else sum(other.host == actor.host for other in self.actors.values())
        actor.call = actor.handle.measure.remote(case, together)

    def stop(self, number: int) -> None:
        """End an actor, which may be dead already."""
        self.ray.kill(self.actors.pop(number).handle)


def run(
    work: Work,
    store: Store,
    *,
    workers: int | None,
    threads: int | None = None,
    address: str | None = None,
    limits: Limits | None = None,
    say: Say = print,
) -> None:
    """Measure a work by actors of the cluster at ``address``, or of that of RAY_ADDRESS, or of a new one here.

    ``workers`` is by default the number of GPUs of the cluster, or that of its machines where it has none. A case that
    is given up gets a record of status ``error``.
    Raises HarnessError where ray is not installed, no cluster can be reached, the run folder can't be shared, and where
    no worker is left.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send them from a cluster that begins here
    ray = import_extra("ray", "ray", "--on ray")
    store.check_shared()
    store.check_writable()
    begun_here = not ray.is_initialized()
    if begun_here:
        try:
            with sigterm_kept():  # Ray's own handler would end the driver without a ranking
                ray.init(address=address, logging_level="warning")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise HarnessError(f"can't reach the Ray cluster: {first_line(error)}") from None
    try:
        _measure(ray, work, store, workers, threads, limits, say)
    finally:
        if begun_here:
            ray.shutdown()


def _measure(
    ray: Any, work: Work, store: Store, workers: int | None, threads: int | None, limits: Limits | None, say: Say
) -> None:
    resources = ray.cluster_resources()
    gpus = resources.get("GPU", 0) >= 1 and not (work.model.device or "cuda").startswith("cpu")
    hosts = len({node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]})
    count = min(workers or (int(resources["GPU"]) if gpus else hosts), len(work.cases))
    cluster = _Cluster(ray, work, store, gpus, hosts, count, threads)
    dispatch = Dispatch([entry.id for entry in work.cases], count, limits)
    why = ""
    try:
        while not dispatch.finished:
            if dispatch.stuck:
                raise HarnessError(f"no worker is left: {why}; what is measured is in {store.place}")
            now = time.monotonic()
            for number in range(count):
                if number not in cluster.actors and not dispatch.is_resting(number, now):
                    cluster.start(number)
                elif (actor := cluster.actors.get(number)) is not None and actor.call is None:
                    case = dispatch.take(number, now)
                    if case is not None:
                        cluster.measure(number, case)
            why = _await(cluster, dispatch, say) or why
    finally:
        for number in list(cluster.actors):
            cluster.stop(number)
    if dispatch.given_up:
        _record_lost(work, store, dispatch.given_up)


def _await(cluster: _Cluster, dispatch: Dispatch, say: Say) -> str:
    """Wait for the next answer of any actor, a second at most; why a worker failed, empty where none did."""
    calls = {actor.call: number for number, actor in cluster.actors.items() if actor.call is not None}
    if not calls:
        time.sleep(_LOOK)
        return ""
    answered, _ = cluster.ray.wait(list(calls), num_returns=1, timeout=_LOOK)
    why = ""
    for call in answered:
        number = calls[call]
        try:
            _answered(cluster, dispatch, number, cluster.ray.get(call), say)
        except cluster.ray.exceptions.RayError as error:
            why = _failed(cluster, dispatch, number, _why(error), say)
    now = time.monotonic()
    for number, actor in list(cluster.actors.items()):
        if not actor.host and now - actor.since > _START:
            why = _failed(cluster, dispatch, number, f"it was not ready within {_START:.0f} s", say)
    return why


def _answered(cluster: _Cluster, dispatch: Dispatch, number: int, answer: Any, say: Say) -> None:
    actor, case = cluster.actors[number], dispatch.case_of(number)
    actor.call = None
    if case is None:
        actor.host, process = answer
        dispatch.is_ready(number)
        say(f"worker {number + 1} is ready (process {process} on {actor.host})")
        return
    if record_files.read(cluster.store, Kind.QUALITY, case) is None:
        raise HarnessError(
            f"worker {number + 1} on {actor.host} measured {case}, and {cluster.store.place} does not show it here; "
            "give --out a folder or URL that all machines see"
        )
    dispatch.is_done(number)
    how = "measured" if answer else "was measured before"
    say(f"{case}: {how} by worker {number + 1} ({len(dispatch.done)} of {len(cluster.work.cases)})")


def _failed(cluster: _Cluster, dispatch: Dispatch, number: int, why: str, say: Say) -> str:
    case = dispatch.case_of(number)
    rest = dispatch.failed(number, time.monotonic())
    cluster.stop(number)
    after = "it is not asked again" if dispatch.is_retired(number) else f"it rests for {rest:.0f} s"
    lost = "" if case is None else f"; {case} goes to another one"
    if case is not None and case in dispatch.given_up:
        lost = f"; {case} is given up, as it was lost {dispatch.limits.losses} times"
    say(f"worker {number + 1} failed ({why}): {after}{lost}")
    return why


def _why(error: Any) -> str:
    """What an actor raised, in one line, or how it was lost."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return first_line(cause, with_type=not isinstance(cause, HarnessError))
    return first_line(error)


def _record_lost(work: Work, store: Store, names: list[str]) -> None:
    """Write a record of status ``error`` for each case with which several workers were lost."""
    records = record_files.read_all(store, lambda _line: None)
    fingerprint = next((record.fingerprint for record in records.values()), None)
    if fingerprint is None:
        raise HarnessError(f"every worker was lost before anything was measured; {store.place} holds no record")
    checkpoint = open_checkpoint(work.model)
    cases: dict[str, Case] = {
        case.id: case for case in cases_of(work, checkpoint.name, checkpoint.stacks, checkpoint.settings.steps)
    }
    verdict = Verdict(Status.ERROR, notes=("the workers that measured it were lost, one after the other",))
    for name in names:
        for kind, case in record_files.wanted(work):
            if case == name and not record_files.is_done(records.get((kind, name))):
                record_files.write(store, Record.of(cases[name], kind, fingerprint, verdict, run=store.name))
