"""Which worker measures which case next, where workers may be lost on the way: a pure account, without any clock.

A case that was lost with its worker goes to another one, and the worker that failed rests. Rest grows with its failures
in a row; after some of them it is not asked again. A case that was lost with several workers is given up: it is the
likely reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """How long a worker rests, when it is not asked again, and when a case is given up."""

    rest: float = 30.0  # seconds after the first failure in a row, twice as long after each further one
    failures: int = 3  # in a row, after which a worker is not asked again
    losses: int = 3  # of one case, each with its worker, after which the case is given up


@dataclass
class _State:
    """What is known of one worker."""

    ready: bool = False  # it has its model loaded
    case: str | None = None  # that it is measuring
    failures: int = 0  # in a row
    rests_until: float = 0.0
    lost: set[str] = field(default_factory=set[str])


class Dispatch:
    """The cases that wait, and the workers, counted from 0. Times are those of any one clock, in seconds."""

    def __init__(self, cases: Iterable[str], workers: int, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._waiting = deque(dict.fromkeys(cases))
        self._workers = [_State() for _ in range(workers)]
        self._losses: dict[str, int] = {}
        self.done: list[str] = []
        self.given_up: list[str] = []

    @property
    def finished(self) -> bool:
        """Whether no case waits or is being measured."""
        return not self._waiting and all(state.case is None for state in self._workers)

    @property
    def stuck(self) -> bool:
        """Whether cases wait, and no worker is left that could be asked."""
        return bool(self._waiting) and all(self.is_retired(number) for number in range(len(self._workers)))

    def is_retired(self, worker: int) -> bool:
        """Whether a worker failed too often in a row to be asked again."""
        return self._workers[worker].failures >= self.limits.failures

    def is_resting(self, worker: int, now: float) -> bool:
        """Whether a worker is to be left alone now."""
        return self.is_retired(worker) or now < self._workers[worker].rests_until

    def take(self, worker: int, now: float) -> str | None:
        """The case that a free worker measures from now on; None where there is none for it.

        A case that it was lost with waits for another worker, where one is ready that was not lost with it, too.
        """
        state = self._workers[worker]
        if state.case is not None or not state.ready or self.is_resting(worker, now):
            return None
        for case in self._waiting:
            if case in state.lost and self._has_other(case):
                continue
            self._waiting.remove(case)
            state.case = case
            return case
        return None

    def _has_other(self, case: str) -> bool:
        return any(state.ready and case not in state.lost for state in self._workers)

    def is_ready(self, worker: int) -> None:
        """The worker can be given cases from now on, until it fails."""
        self._workers[worker].ready = True

    def case_of(self, worker: int) -> str | None:
        """What a worker is measuring."""
        return self._workers[worker].case

    def is_done(self, worker: int) -> None:
        """The worker has measured its case."""
        state = self._workers[worker]
        if state.case is not None:
            self.done.append(state.case)
        state.case, state.failures = None, 0

    def failed(self, worker: int, now: float) -> float:
        """The worker failed, with its case if it had one: how many seconds it rests."""
        state = self._workers[worker]
        state.ready = False
        state.failures += 1
        rest = self.limits.rest * 2 ** (state.failures - 1)
        state.rests_until = now + rest
        case, state.case = state.case, None
        if case is not None:
            state.lost.add(case)
            self._losses[case] = self._losses.get(case, 0) + 1
            if self._losses[case] >= self.limits.losses:
                self.given_up.append(case)
            else:
                self._waiting.append(case)
        return rest
