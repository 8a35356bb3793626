"""How long a variant's forward takes beside the control's: pairs of forwards, timed in alternating order.

Control and variant take turns as control, variant, variant, control (ABBA), so that a drift of the machine's speed
falls on both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from harness.ablation.case import Case
from harness.lab.cost import share
from harness.lab.protocol import LabProtocol
from harness.lab.timed_forwards import now
from harness.models.kernels import pinned
from harness.results.latency import Latency
from harness.results.statistics import speed_up
from harness.surgery.view import AblationView

ROUNDS = 12  # timed pairs, where nobody says how many
WARM_UP = 1  # pairs before them, which don't count

# A step in the window takes what the case without it takes, and one outside it what the control does.
NO_LATENCY = "latency is of one forward; a window of steps has none of its own (time the case without it)"
# Both passes are in one forward, and all of its rows go through the plan's blocks and the stack's own.
NO_LATENCY_IN_ONE = "a plan in one pass of guidance has no latency of its own: its forward makes both passes in full"


class Pairs(Protocol):
    """Runs of a lab's control and of one variant, in pairs.

    One pair is: call :meth:`before_variant`, :meth:`forward`, :meth:`after_variant`. The control is timed before the
    variant in the first, third ... pair, and after it in the others.
    """

    def before_variant(self) -> None:
        """Time the control where it comes first in this pair."""

    def forward(self) -> float:
        """Run the variant; its seconds."""

    def after_variant(self) -> None:
        """Time the control where it comes second in this pair."""


class ForwardPairs:
    """Single forwards in :class:`Pairs`; inside the ``with`` block the variant is installed.

    ``control`` has the control's seconds, one for each pair.
    """

    def __init__(self, lab: LabProtocol, case: Case) -> None:
        self.control: list[float] = []
        timed = lab.timed_forward()
        self.batch = timed.batch
        self._arguments = timed.arguments
        self._device, self._transformer = lab.device, lab.transformer
        self._view = AblationView(lab.transformer, case.plan, case.stack)
        self._contexts = ExitStack()
        self._pairs = 0

    def __enter__(self) -> ForwardPairs:
        """Install the variant, under the kernels and precision that images are made with."""
        self._contexts.enter_context(pinned())
        self._contexts.enter_context(self._view)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the model as it was."""
        self._contexts.close()

    def forward(self) -> float:
        """Seconds of one forward of what is installed: the variant, unless :meth:`without_variant`."""
        return forward_seconds(self._transformer, self._arguments, self._device)

    def before_variant(self) -> None:
        """Time the control where it comes first in this pair."""
        if self._pairs % 2 == 0:
            self._time_control()

    def after_variant(self) -> None:
        """Time the control where it comes second in this pair."""
        if self._pairs % 2 == 1:
            self._time_control()
        self._pairs += 1

    @contextmanager
    def without_variant(self) -> Iterator[None]:
        """The model itself for the length of a ``with`` block, the variant again after it."""
        self._view.remove()
        try:
            yield
        finally:
            self._view.install()

    def _time_control(self) -> None:
        with self.without_variant():
            self.control.append(self.forward())


Loop = Callable[[Pairs, int], list[float]]


def time_pairs(pairs: Pairs, rounds: int) -> list[float]:
    """Run WARM_UP pairs and then ``rounds`` pairs; the variant's seconds of the latter."""
    seconds: list[float] = []
    for _ in range(WARM_UP + rounds):
        pairs.before_variant()
        seconds.append(pairs.forward())
        pairs.after_variant()
    return seconds[WARM_UP:]


def measure_latency(lab: LabProtocol, case: Case, rounds: int = ROUNDS, loop: Loop = time_pairs) -> Latency:
    """Time ``rounds`` pairs of forwards of a lab's control and of a variant.

    One forward is that of the lab's ``timed_forward``: one denoising step of a batch. An image's own time follows from
    it and from the lab's ``image_time``. A case in a window of steps has no latency of its own (NO_LATENCY). ``loop``
    runs the pairs as :func:`time_pairs` does; pytest-benchmark has its own (:mod:`harness.plugin.benchmark`).
    """
    with ForwardPairs(lab, case) as pairs:
        peak = peak_bytes(lab.device, pairs.forward)
        variant = loop(pairs, rounds)
        with pairs.without_variant():
            control_peak = peak_bytes(lab.device, pairs.forward)
    control, blocks = pairs.control[WARM_UP:], share(case, lab.checkpoint.stacks)
    return latency_of(lab, control, variant, batch=pairs.batch, blocks=blocks, peaks=(control_peak, peak))


def latency_of(
    lab: LabProtocol,
    control: Sequence[float],
    variant: Sequence[float],
    *,
    batch: int,
    blocks: float,
    peaks: tuple[int | None, int | None],
) -> Latency:
    """The record of timed pairs, in seconds a forward of ``batch`` images.

    ``blocks`` is the share of the control's blocks that the variant runs; ``peaks`` are the control's memory and the
    variant's, in bytes. An image's own time follows where pairs were timed.
    """
    ratio = speed_up(control, variant)
    control_peak, peak = peaks
    return Latency(
        control=tuple(control),
        variant=tuple(variant),
        batch=batch,
        ratio=ratio.value,
        low=ratio.low,
        high=ratio.high,
        theory=1.0 / blocks if blocks > 0 else float("inf"),
        peak_bytes=peak,
        control_peak_bytes=control_peak,
        image=lab.image_time if variant else None,
    )


def peak_bytes(device: torch.device, forward: Callable[[], object]) -> int | None:
    """Peak memory of one forward on CUDA, in bytes; None elsewhere, where nothing is run."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    forward()
    return torch.cuda.max_memory_allocated(device)


def forward_seconds(transformer: nn.Module, arguments: Mapping[str, Any], device: torch.device) -> float:
    """Seconds of one forward of a transformer; on a GPU to its end."""
    began = now(device)
    transformer(**arguments)
    return now(device) - began
