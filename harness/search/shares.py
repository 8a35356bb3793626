"""The share of a forward's time, or of the parameters, that each block of a model has: what leaving it out saves."""

from __future__ import annotations

from harness.ablation.case import Case
from harness.ablation.ranges import Span
from harness.ablation.strategies import skip
from harness.errors import HarnessError
from harness.lab.lab import Lab
from harness.lab.latency import measure_latency
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.results.statistics import Interval, speed_up

_ROUNDS = 24  # timed pairs of forwards for each stack
_MOST_ROUNDS = 96  # where so few show nothing, on a loaded machine


def parameter_shares(lab: Lab) -> tuple[float, ...]:
    """(L,) the parameters of each block over those of the transformer."""
    model = unwrap_compiled(lab.transformer)
    total = sum(parameter.numel() for parameter in model.parameters())
    blocks = [block for attribute in stacks(model).values() for block in blocks_at(model, attribute)]
    return tuple(sum(parameter.numel() for parameter in block.parameters()) / total for block in blocks)


def time_shares(lab: Lab, *, rounds: int = _ROUNDS, most: int = _MOST_ROUNDS) -> tuple[float, ...]:
    """(L,) the share of a forward's time that each block has: for each stack, from a forward without the stack.

    The blocks of a stack take equal shares. All of them take many times as long as one, and so can be told from the
    noise of a loaded machine in far fewer pairs of forwards. ``rounds`` pairs are timed; as long as the interval of
    all pairs reaches down to 1, as many again are added, up to ``most``. Shares that add up to more
    than 1, as noise can make them, are scaled down to 1. Raises HarnessError where those pairs show no saving.
    """
    shares: list[float] = []
    for stack, length in lab.checkpoint.stacks.items():
        whole = Span(0, length - 1)
        case = Case(lab.checkpoint.name, stack, length, "skip", skip(length, whole), whole)
        faster, pairs = _speed_up_shown(lab, case, rounds, most)
        if faster.low <= 1:
            raise HarnessError(
                f"leaving out all blocks of stack {stack!r} saves no time that {pairs} pairs of forwards show "
                f"(speed-up {faster.value:.3f} [{faster.low:.3f}, {faster.high:.3f}]); use a quieter machine, or "
                "--remove or --params"
            )
        shares += [(1.0 - 1.0 / faster.value) / length] * length
    total = max(1.0, sum(shares))
    return tuple(share / total for share in shares)


def _speed_up_shown(lab: Lab, case: Case, rounds: int, most: int) -> tuple[Interval, int]:
    """A variant's speed-up, of as many pairs as it takes for its interval to lie above 1; and how many there were.

    Looking several times makes the interval a little too narrow. It only decides when there are enough pairs: that a
    forward with fewer blocks takes less time is known beforehand.
    """
    control: list[float] = []
    variant: list[float] = []
    while True:
        latency = measure_latency(lab, case, min(max(rounds, len(control)), most - len(control)))
        control += latency.control
        variant += latency.variant
        faster = speed_up(control, variant)
        if faster.low > 1 or len(control) >= most:
            return faster, len(control)
