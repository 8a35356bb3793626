"""pytest-xdist: which part this process has in a run.

Under ``-n`` the workers run the tests, and the controller collects nothing itself, but prints and writes everything.
Without ``-n`` one process does both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness.workers.device_share import threads_of

_RUN_ID = "dit_run_id"  # the controller's, in a worker's input
_MISTAKE = "dit_mistake"  # of the command line or a case file, in a worker's output


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for a controller."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Whether other processes run the tests of this one."""
    return bool(getattr(config.option, "numprocesses", None)) and not is_worker(config)


def send_run_id(node: Any, run_id: str) -> None:
    """Tell a worker about to start the controller's run id, so that all write into one run folder."""
    node.workerinput[_RUN_ID] = run_id


def send_mistake(config: pytest.Config, message: str) -> None:
    """On a worker: tell the controller why nothing can run, which ends the run with that line and exit code 4."""
    config.workeroutput[_MISTAKE] = message  # type: ignore[attr-defined]


def mistake_of(node: Any) -> str:
    """In the controller: what a worker that has ended told by :func:`send_mistake`; empty where it told nothing."""
    return str(getattr(node, "workeroutput", {}).get(_MISTAKE, ""))


@dataclass(frozen=True)
class Process:
    """This process's part: ``worker`` is its name as an xdist worker, empty in any other process."""

    run_id: str
    worker: str = ""
    workers: int = 1  # how many share this machine's cores

    @classmethod
    def of(cls, config: pytest.Config, run_id: str) -> Process:
        """The part of the process that runs with ``config``; ``run_id`` is its own, a worker has its controller's."""
        if not is_worker(config):
            return cls(run_id)
        data: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
        return cls(data[_RUN_ID], data["workerid"], data["workercount"])

    def threads(self, option: int | None) -> int | None:
        """Torch's threads here: the option's, or a worker's share of the cores; None leaves them to torch."""
        return threads_of(self.workers) if option is None and self.worker else option
