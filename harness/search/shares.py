"""The share of a forward's time, or of the parameters, that each block of a model has: what leaving it out saves."""

from __future__ import annotations

from harness.ablation.case import by_hand
from harness.ablation.plan import without_block
from harness.errors import HarnessError
from harness.lab.lab import Lab
from harness.lab.latency import measure_latency
from harness.models.stacks import stacks, unwrap_compiled

_ROUNDS = 24  # timed pairs of forwards for each stack


def parameter_shares(lab: Lab) -> tuple[float, ...]:
    """(L,) the parameters of each block over those of the transformer."""
    model = unwrap_compiled(lab.transformer)
    total = sum(parameter.numel() for parameter in model.parameters())
    blocks = [block for attribute in stacks(model).values() for block in getattr(model, attribute)]
    return tuple(sum(parameter.numel() for parameter in block.parameters()) / total for block in blocks)


def time_shares(lab: Lab, *, rounds: int = _ROUNDS) -> tuple[float, ...]:
    """(L,) the share of a forward's time that each block has: for each stack, from a forward without its centre block.

    The blocks of a stack take equal shares. Raises HarnessError where leaving one out saves no time that can be seen.
    """
    shares: list[float] = []
    for stack, length in lab.checkpoint.stacks.items():
        plan = f"{stack}: {without_block(length, length // 2)}"
        latency = measure_latency(lab, by_hand(lab.checkpoint.name, lab.checkpoint.stacks, plan), rounds)
        share = 1.0 - 1.0 / latency.ratio
        if share <= 0 or latency.low <= 1:
            raise HarnessError(
                f"leaving out block {length // 2} of stack {stack!r} saves no time that {rounds} pairs show "
                f"(speed-up {latency.ratio:.3f} [{latency.low:.3f}, {latency.high:.3f}]); use a quieter machine, or "
                "--remove or --params"
            )
        shares += [share] * length
    return tuple(shares)
