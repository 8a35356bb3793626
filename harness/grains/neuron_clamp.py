"""Feed-forward neurons held at a value, and which neurons to hold: those that a word in the prompt switches on.

A neuron is one hidden unit of a feed-forward: one entry of what its output projection takes, behind the activation
(behind the gate, in AuraFlow's). ``ff`` is the feed-forward of the image stream, ``ff_context`` that of the text
stream; single-stream blocks have one ``ff`` for all tokens. FLUX's single-stream blocks compute it as ``proj_mlp`` and
``act_mlp`` and share the output projection with the attention. Clamping holds it at one value for every token.

TARS decodes language models' neurons by their output embeddings. A diffusion transformer has none, so neurons are
chosen by paired prompts instead: the same noisy latents and timesteps, with the text of a prompt that has the word and
of one that has another in its place. A neuron's difference is its mean activation over tokens and steps with the word
minus that without. Chosen are those whose mean difference over the pairs is large against its standard deviation
(Cohen's d for pairs), in the order of what they write with the word and don't without it: the mean difference times the
norm of the neuron's column in the output projection. What they carry is read off the images made with them clamped
(:mod:`harness.analysis.word_effects`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.ablation.ranges import Span, range_text
from harness.errors import CaseError, SurgeryError
from harness.grains.block_range import BlockRange, block_range
from harness.grains.calibration import Forwards, replay
from harness.grains.calls import Calls, counted, remove_after

_BRANCHES = ("ff", "ff_context")
LEAST_SCORE = 0.8  # a large effect by Cohen's convention


class Neuron(NamedTuple):
    """One hidden unit: its block's index, ``ff`` or ``ff_context``, and its index in there."""

    block: int
    branch: str
    unit: int

    def __str__(self) -> str:
        """``3.ff.120``."""
        return f"{self.block}.{self.branch}.{self.unit}"


class ScoredNeuron(NamedTuple):
    """A neuron with its mean ``difference`` over the pairs and its mean ``without`` the word.

    ``written`` is the difference times the norm of its column in the output projection, ``score`` is the difference
    over the differences' standard deviation.
    """

    neuron: Neuron
    difference: float
    without: float
    written: float
    score: float


@dataclass(frozen=True)
class _Branch:
    """Where a feed-forward's hidden units can be seen: what ``module`` takes, or returns where ``after`` is True.

    ``projection`` is the output projection, whose last ``width`` columns are theirs.
    """

    module: nn.Module
    width: int
    after: bool
    projection: Any

    def install(self, change: Any, hooks: ExitStack) -> None:
        """Have ``change(hidden)`` called with (B, tokens, width); what it returns, unless None, takes their place."""
        if self.after:
            handle: Any = self.module.register_forward_hook(lambda _module, _args, output: change(output))
        else:
            handle = self.module.register_forward_pre_hook(lambda _module, args: change(args[0]))
        remove_after(hooks, handle)


def feed_forwards(block: nn.Module) -> dict[str, int]:
    """The number of neurons of each of a block's feed-forwards, by ``ff`` and ``ff_context``. Raises SurgeryError."""
    return {name: branch.width for name, branch in _branches(block).items()}


@contextmanager
def clamp_neurons(
    transformer: Any, stack: str | None, neurons: Collection[Neuron], value: float | Mapping[Neuron, float] = 0.0
) -> Iterator[Calls]:
    """Hold neurons at a value (one for all, or one for each) for every token, for the length of a ``with`` block.

    No neurons: nothing is installed. What the ``with`` block gets counts the clamped calls by block. Raises CaseError
    for a neuron that there isn't, naming what there is; SurgeryError on leaving where no feed-forward of them ran.
    """
    by_place: dict[tuple[int, str], list[int]] = {}
    for neuron in neurons:
        by_place.setdefault((neuron.block, neuron.branch), []).append(neuron.unit)
    calls = Calls(f"{len(neurons)} clamped neurons of stack {stack or ''!r}")
    with counted(calls, expected=bool(by_place)) as hooks:
        for (index, name), units in by_place.items():
            where = _block(transformer, stack, index)
            branch = _branch(where, index, name)
            for unit in units:
                if not 0 <= unit < branch.width:
                    raise CaseError(
                        f"neuron {unit} of {name} in block {index} of stack {where.stack!r}: it has {branch.width} "
                        f"({range_text(0, branch.width - 1)})"
                    )
            held = [value[Neuron(index, name, u)] if isinstance(value, Mapping) else value for u in units]
            branch.install(_clamping(units, held, calls, index), hooks)
        yield calls


def mean_activations(
    transformer: Any, stack: str | None, span: Span | None, forwards: Forwards, rows: int
) -> dict[tuple[int, str], Tensor]:
    """(prompts, neurons) float64 by block and branch: each neuron's mean over the tokens and steps of each prompt.

    ``forwards`` are those of one batch of ``rows`` prompts; where a forward has twice as many rows they are [negative,
    positive] of classifier-free guidance, and only the positive half counts. Raises SurgeryError where a forward has
    another number of rows.
    """
    where = block_range(transformer, stack, span)
    sums: dict[tuple[int, str], Tensor] = {}

    def adding(place: tuple[int, str]) -> Any:
        def add(hidden: Tensor) -> None:
            if hidden.shape[0] not in (rows, 2 * rows):
                raise SurgeryError(f"{where.place}: {hidden.shape[0]} rows in a forward of {rows} prompts")
            own = hidden[-rows:].double().mean(dim=1).cpu()
            sums[place] = sums[place] + own if place in sums else own

        return add

    with ExitStack() as hooks:
        for index, block in where.blocks.items():
            for name, branch in _branches(block).items():
                branch.install(adding((index, name)), hooks)
        replay(where.model, forwards)
    return {place: total / len(forwards) for place, total in sums.items()}


def column_norms(transformer: Any, stack: str | None, span: Span | None) -> dict[tuple[int, str], Tensor]:
    """(neurons,) float64 by block and branch: the norm of what each neuron writes into its stream at activation 1."""
    where = block_range(transformer, stack, span)
    return {
        (index, name): branch.projection.weight.detach()[:, -branch.width :].double().norm(dim=0).cpu()
        for index, block in where.blocks.items()
        for name, branch in _branches(block).items()
    }


def score_neurons(
    with_word: Mapping[tuple[int, str], Tensor],
    without: Mapping[tuple[int, str], Tensor],
    norms: Mapping[tuple[int, str], Tensor],
) -> list[ScoredNeuron]:
    """All neurons by what they write, from :func:`mean_activations` of paired prompts and :func:`column_norms`.

    Raises SurgeryError for fewer than two pairs.
    """
    scored: list[ScoredNeuron] = []
    for (block, branch), on in with_word.items():
        off = without[block, branch]
        if len(on) < 2 or on.shape != off.shape:
            raise SurgeryError(f"neurons are chosen from two pairs of prompts or more, not {len(on)} and {len(off)}")
        differences = on - off
        mean, deviation = differences.mean(dim=0), differences.std(dim=0)
        scores = mean / (deviation + torch.finfo(deviation.dtype).tiny)  # 0 for a neuron that never moves
        columns = (mean.tolist(), off.mean(dim=0).tolist(), (mean * norms[block, branch]).tolist(), scores.tolist())
        scored += [
            ScoredNeuron(Neuron(block, branch, i), *figures) for i, figures in enumerate(zip(*columns, strict=True))
        ]
    return sorted(scored, key=lambda one: abs(one.written), reverse=True)


def chosen(scored: Sequence[ScoredNeuron], count: int) -> list[ScoredNeuron]:
    """The ``count`` neurons that write most with the word and less without, of those with a score of 0.8 or more.

    Raises CaseError where there are fewer.
    """
    raised = [one for one in scored if one.score >= LEAST_SCORE]
    if count > len(raised):
        raise CaseError(f"{count} neurons asked for, and the word raises {len(raised)} of {len(scored)}")
    return raised[:count]


def _clamping(units: Sequence[int], values: Sequence[float], calls: Calls, index: int) -> Any:
    def clamp(hidden: Tensor) -> Tensor:
        held = hidden.clone()
        held[..., list(units)] = torch.tensor(list(values), dtype=hidden.dtype, device=hidden.device)
        calls.note(index)
        return held

    return clamp


def _block(transformer: Any, stack: str | None, index: int) -> BlockRange:
    if index < 0:
        raise CaseError(f"there is no block {index}; blocks are numbered from 0")
    return block_range(transformer, stack, Span(index, index))


def _branch(where: BlockRange, index: int, name: str) -> _Branch:
    branches = _branches(where.blocks[index])
    if name not in branches:
        raise CaseError(
            f"block {index} of stack {where.stack!r} has no feed-forward {name!r}; it has {', '.join(branches)}"
        )
    return branches[name]


def _branches(block: nn.Module) -> dict[str, _Branch]:
    modules: dict[str, Any] = {name: getattr(block, name, None) for name in _BRANCHES}
    branches: dict[str, _Branch] = {}
    for name, module in modules.items():
        if module is None:
            continue
        out = module.net[-1] if hasattr(module, "net") else getattr(module, "out_projection", None)
        if out is not None:
            branches[name] = _Branch(out, out.in_features, after=False, projection=out)
    if hasattr(block, "act_mlp"):
        single: Any = block
        branches["ff"] = _Branch(single.act_mlp, single.mlp_hidden_dim, after=True, projection=single.proj_out)
    if not branches:
        raise SurgeryError(f"{type(block).__name__} has no feed-forward whose hidden units could be found")
    return branches
