"""A range of blocks replaced by one map that was fitted on the states which enter and leave it.

After A-SDM, which takes redundant blocks out and puts something cheaper in their place. With x what enters the range, y
what leaves it and u = y - x its update, over all tokens of the calibration forwards:

    mean     y' = x + mean(u)
    linear   y' = x + (x - mean(x)) W + mean(u),   W = (S + ridge * trace(S) / width * I)^-1 C,
             S = sum (x - mean(x))^T (x - mean(x)),   C = sum (x - mean(x))^T (u - mean(u))

which minimises sum |u - (x - mean(x)) W - c|^2 + ridge * trace(S) / width * |W|^2 over W and c. Sums and solution are
in float64. Text and image have a map each, and so has each bin of the timestep (by default there is one bin).

The blocks of the range don't run: one matrix product a stream stands in their place, so that a latency measured under
it is that of the surrogate.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.ablation.plan import Step
from harness.ablation.ranges import Span
from harness.errors import SurgeryError
from harness.grains.block_range import ARGUMENTS, BlockRange, Stream, block_range
from harness.grains.calibration import Forwards, TimestepBins, double, replay, timestep_bins
from harness.grains.calls import Calls, counted, remove_after
from harness.grains.forward_facts import ForwardFacts, forward_facts
from harness.models.stacks import blocks_at, put_blocks
from harness.surgery.slot import Slot, State
from harness.surgery.view import BlockView

RIDGE = 1e-6


class SurrogateKind(enum.StrEnum):
    """What stands in for the range."""

    MEAN = "mean"
    LINEAR = "linear"


@dataclass(frozen=True)
class Map:
    """``x + x @ weight + bias`` for tokens x (..., width), float64 on the CPU; no ``weight``: the bias alone.

    ``unexplained`` is the share of the update's sum of squares that the map leaves over, on the tokens that it was
    fitted on: 0 where it is exact, 1 where doing nothing is as good.
    """

    weight: Tensor | None
    bias: Tensor
    unexplained: float


@dataclass(frozen=True)
class Surrogate:
    """The maps of a range, by stream and bin of the timestep. A stream without a map is passed on as it is."""

    stack: str
    span: Span
    kind: SurrogateKind
    bins: TimestepBins
    maps: Mapping[Stream, tuple[Map, ...]]


class _Sums:
    """Sums over tokens of x, u and their products, in float64."""

    def __init__(self, width: int, *, products: bool) -> None:
        self.count = 0
        self.x, self.u = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
        self.squares = 0.0
        self.xx = torch.zeros(width, width, dtype=torch.float64) if products else None
        self.xu = torch.zeros(width, width, dtype=torch.float64) if products else None

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add tokens (N, width) that entered and left."""
        u = y - x
        self.count += len(x)
        self.x += x.sum(dim=0).cpu()
        self.u += u.sum(dim=0).cpu()
        self.squares += float(u.pow(2).sum())
        if self.xx is not None and self.xu is not None:
            self.xx += (x.T @ x).cpu()
            self.xu += (x.T @ u).cpu()

    def solve(self, ridge: float) -> Map:
        """The map that fits best; see the module's formulas."""
        mean_x, mean_u = self.x / self.count, self.u / self.count
        centred = self.squares - self.count * float(mean_u @ mean_u)
        if self.xx is None or self.xu is None:
            return Map(None, mean_u, _share(centred, self.squares))
        s = self.xx - self.count * torch.outer(mean_x, mean_x)
        c = self.xu - self.count * torch.outer(mean_x, mean_u)
        damped = s + ridge * s.trace() / len(s) * torch.eye(len(s), dtype=s.dtype)
        # Without a ridge the states may not span all directions: least squares of the smallest norm.
        weight = torch.linalg.solve(damped, c) if ridge else torch.linalg.pinv(s, hermitian=True) @ c
        left = centred - 2 * float((weight * c).sum()) + float((weight * (s @ weight)).sum())
        return Map(weight, mean_u - mean_x @ weight, _share(left, self.squares))


def _share(left: float, whole: float) -> float:
    return max(left, 0.0) / whole if whole > 0 else 0.0


def fit_surrogate(
    transformer: Any,
    stack: str | None,
    span: Span,
    forwards: Forwards,
    kind: SurrogateKind = SurrogateKind.LINEAR,
    *,
    ridge: float = RIDGE,
    bins: int = 1,
) -> Surrogate:
    """Fit the maps of an inclusive range on forwards of the control's own run.

    See :func:`harness.grains.calibration.record_forwards`. Raises CaseError for a range that doesn't fit, SurgeryError
    where the range's blocks didn't run, or where there are fewer tokens than a map without ridge can be told from.
    """
    where = block_range(transformer, stack, span)
    cut = timestep_bins(forwards, bins)
    sums: dict[tuple[Stream, int], _Sums] = {}
    entered: dict[Stream, Tensor] = {}
    first, last = where.blocks[span.first], where.blocks[span.last]
    with forward_facts(where.model) as facts, ExitStack() as hooks:

        def enter(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            call = where.arguments(block, args, kwargs)
            entered.update({s: double(t) for s, t in where.inputs(call, facts.image_tokens).items()})

        def leave(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            for stream, tokens in where.outputs(output, facts.image_tokens).items():
                key = (stream, cut.of(facts.timestep))
                if key not in sums:
                    sums[key] = _Sums(tokens.shape[-1], products=kind is SurrogateKind.LINEAR)
                sums[key].add(entered[stream], double(tokens))

        remove_after(hooks, first.register_forward_pre_hook(enter, with_kwargs=True))
        remove_after(hooks, last.register_forward_hook(leave))
        replay(where.model, forwards)
    if not sums:
        raise SurgeryError(f"{where.place}: its blocks didn't run in the forwards to calibrate on")
    streams = [stream for stream in Stream if (stream, 0) in sums]
    maps = {stream: tuple(sums[stream, i].solve(ridge) for i in range(len(cut))) for stream in streams}
    return Surrogate(where.stack, span, kind, cut, maps)


@contextmanager
def surrogate(transformer: Any, fitted: Surrogate | None) -> Iterator[Calls]:
    """Run the fitted maps in the place of their range, for the length of a ``with`` block.

    None stands for an empty range: nothing is installed. What the ``with`` block gets counts the calls of the map,
    under the range's first block. Over a plan's view it takes the range's positions, whatever the plan runs there.
    Raises SurgeryError on leaving where the map never ran.
    """
    calls = Calls("surrogate")
    with counted(calls, expected=fitted is not None) as hooks:
        if fitted is not None:
            where = block_range(transformer, fitted.stack, fitted.span)
            calls.what = f"{fitted.kind} surrogate of {where.place}"
            original = blocks_at(where.model, where.attribute)
            facts = hooks.enter_context(forward_facts(where.model))
            slots: list[Any] = list(original)
            for index, block in where.blocks.items():
                slots[index] = Slot(block, (), (), where.contract)
            slots[fitted.span.first] = _MapSlot(where, fitted, facts, calls)
            put_blocks(where.model, where.attribute, BlockView(original, slots))
            hooks.callback(put_blocks, where.model, where.attribute, original)
        yield calls


class _MapSlot(Slot):
    """What stands at the range's first position: the maps, applied to what the block there is called with."""

    def __init__(self, where: BlockRange, fitted: Surrogate, facts: ForwardFacts, calls: Calls) -> None:
        first = fitted.span.first
        super().__init__(where.blocks[first], list(where.blocks.values()), (0,), where.contract)
        self._where, self._fitted, self._facts, self._calls = where, fitted, facts, calls
        self._ready: dict[tuple[Stream, int], tuple[Tensor | None, Tensor]] = {}  # in the model's dtype, where it runs

    def run_step(self, _step: Step, state: State, _call: Mapping[str, Any]) -> State:
        """The state behind the range."""
        streams = self._where.inputs(state, self._facts.image_tokens)
        mapped = {stream: self._map(stream, tokens) for stream, tokens in streams.items()}
        self._calls.note(self._fitted.span.first)
        if self._where.joined:
            joined = self._where.with_outputs(None, mapped)
            return dict.fromkeys(state, joined)
        return {ARGUMENTS[stream]: tokens for stream, tokens in mapped.items()}

    def _map(self, stream: Stream, tokens: Tensor) -> Tensor:
        maps = self._fitted.maps.get(stream)
        if maps is None:
            return tokens
        where = self._fitted.bins.of(self._facts.timestep)
        key = (stream, where)
        if key not in self._ready:
            own = maps[where]
            weight = None if own.weight is None else own.weight.to(tokens.device, tokens.dtype)
            self._ready[key] = (weight, own.bias.to(tokens.device, tokens.dtype))
        weight, bias = self._ready[key]
        return tokens + bias if weight is None else tokens + (tokens @ weight + bias)
