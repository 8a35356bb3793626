"""Norms whose statistic is a constant: what a model needs the normalisation of each token for.

After "Transformers don't need LayerNorm" (FakeLN). In a block that is frozen

    LayerNorm   (x - mean(x)) / sqrt(var(x) + eps) * gamma + beta   becomes   (x - mean(x)) / sigma * gamma + beta
    RMSNorm     x / sqrt(mean(x^2) + eps) * gamma                   becomes   x / sigma * gamma

where sigma is the mean, over all tokens of the calibration forwards, of what the norm itself divides by; one for each
norm of each block, each stream (in single-stream blocks text and image tokens share a norm, and get a sigma each) and
each bin of the timestep. The mean of a token is still subtracted. Frozen are a block's adaptive norms (adaLN's inner
LayerNorm, whose modulation stays) and the norms before its feed-forwards; the norms of queries and keys, by heads, are
an option.

Calibration goes block by block from the front of the range: block k is measured with all blocks before it frozen
already, so that its sigma is that of the states it will see. All at once collapses in language models.

Nothing is saved by this here: the norm runs, and its output is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers.models.normalization import RMSNorm
from torch import Tensor, nn

from harness.ablation.ranges import Span
from harness.errors import CaseError
from harness.grains.block_range import BlockRange, Stream, block_range, split_joined
from harness.grains.calibration import Forwards, TimestepBins, replay, timestep_bins
from harness.grains.calls import Calls, counted, remove_after
from harness.grains.forward_facts import ForwardFacts, forward_facts

_RMS = (RMSNorm, nn.RMSNorm)
_KINDS = (nn.LayerNorm, *_RMS)
_OF_TEXT = ("context", "added")  # in the name of a norm of the text stream, in double-stream blocks
QUANTILES = (0.05, 0.5, 0.95, 0.99)


class NormSite(NamedTuple):
    """One norm of one block, for one stream: ``norm`` is its name inside the block, ``norm1.norm``."""

    block: int
    norm: str
    stream: Stream


@dataclass(frozen=True)
class Sigmas:
    """What one norm divides by, one value a bin of the timestep: the mean over tokens, and the tokens' quantiles.

    ``quantiles`` has a row for each bin, with the values at :data:`QUANTILES`. A bin that no forward fell into has the
    nearest one's values.
    """

    mean: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class FrozenNorms:
    """The constants of a range's norms; ``with_qk``: those of queries and keys are among them."""

    stack: str
    span: Span
    bins: TimestepBins
    with_qk: bool
    sigmas: Mapping[NormSite, Sigmas]


def norm_names(block: nn.Module, *, qk: bool = False) -> dict[str, nn.Module]:
    """A block's norms by their names in it: the adaptive ones and those before a feed-forward; ``qk``: all."""
    return {
        name: module
        for name, module in block.named_modules()
        if isinstance(module, _KINDS) and (qk or not name.startswith("attn"))
    }


def divisor(norm: nn.Module, x: Tensor) -> Tensor:
    """(..., 1) what the norm divides each token by, in fp32 at least."""
    x = _wide(x)
    squares = x.pow(2) if isinstance(norm, _RMS) else (x - x.mean(dim=-1, keepdim=True)).pow(2)
    eps: Any = norm.eps
    return (squares.mean(dim=-1, keepdim=True) + (torch.finfo(x.dtype).eps if eps is None else eps)).sqrt()


def frozen_output(norm: nn.Module, x: Tensor, sigma: Tensor | float) -> Tensor:
    """What the norm gives with ``sigma`` (broadcast over x's last dimension) in the place of its own statistic."""
    wide = _wide(x)
    if not isinstance(norm, _RMS):
        wide = wide - wide.mean(dim=-1, keepdim=True)
    out = wide / sigma
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if weight is not None:
        out = out * weight
    return out if bias is None else out + bias


def calibrate_norms(
    transformer: Any,
    stack: str | None,
    span: Span | None,
    forwards: Forwards,
    *,
    bins: int | None = None,
    qk: bool = False,
) -> FrozenNorms:
    """Measure the constants of a range (None: of all of the stack), block by block from the front.

    ``forwards`` are those of the control's own run (:func:`harness.grains.calibration.record_forwards`), ``bins`` the
    number of timestep bins (None: one for each step). Takes as many runs of them as the range has blocks. Raises
    CaseError where the range doesn't fit, or where ``qk`` is asked of blocks that have no norms of queries and keys.
    """
    where = block_range(transformer, stack, span)
    cut = timestep_bins(forwards, bins)
    if qk and not any(name.startswith("attn") for name in norm_names(next(iter(where.blocks.values())), qk=True)):
        raise CaseError(f"{where.place}: its blocks have no norms of queries and keys; leave them out")
    span = Span(min(where.blocks), max(where.blocks))
    sigmas: dict[NormSite, Sigmas] = {}
    for index in where.blocks:
        with freeze_norms(transformer, FrozenNorms(where.stack, span, cut, qk, dict(sigmas)), check=False):
            sigmas |= _measured(where, index, forwards, cut, qk=qk)
    return FrozenNorms(where.stack, span, cut, qk, sigmas)


@contextmanager
def freeze_norms(transformer: Any, frozen: FrozenNorms | None, *, check: bool = True) -> Iterator[Calls]:
    """Divide by calibrated constants instead of each token's own statistic, for the length of a ``with`` block.

    None freezes nothing and installs nothing. What the ``with`` block gets counts the norms that were frozen, by
    block. Raises SurgeryError on leaving where no norm of the range ran (unless ``check`` is False).
    """
    calls = Calls("frozen norms")
    with counted(calls, expected=check and frozen is not None and bool(frozen.sigmas)) as hooks:
        if frozen is not None and frozen.sigmas:
            where = block_range(transformer, frozen.stack, frozen.span)
            calls.what = f"frozen norms of {where.place}"
            facts = hooks.enter_context(forward_facts(where.model))
            for index, block in where.blocks.items():
                for name, norm in norm_names(block, qk=frozen.with_qk).items():
                    own = {
                        stream: frozen.sigmas[NormSite(index, name, stream)]
                        for stream in _streams(where, name)
                        if NormSite(index, name, stream) in frozen.sigmas
                    }
                    if own:
                        hook = _freezing(own, frozen.bins, facts, calls, index, where)
                        remove_after(hooks, norm.register_forward_hook(hook))
        yield calls


def spread(frozen: FrozenNorms) -> dict[NormSite, tuple[float, float]]:
    """How uneven tokens are at each norm, at its worst over the bins: median over mean, and 99 % quantile over mean.

    Near 1 a constant is all that the norm ever divides by; a large second figure says that a few tokens carry states
    many times larger than the rest, which the constant doesn't hold down.
    """
    middle, last = QUANTILES.index(0.5), QUANTILES.index(0.99)
    ratios: dict[NormSite, tuple[float, float]] = {}
    for site, sigmas in frozen.sigmas.items():
        per_bin = list(zip(sigmas.mean, sigmas.quantiles, strict=True))
        medians = [quantiles[middle] / mean for mean, quantiles in per_bin]
        ratios[site] = (
            max(medians, key=lambda ratio: abs(ratio - 1)),
            max(quantiles[last] / mean for mean, quantiles in per_bin),
        )
    return ratios


def _streams(where: BlockRange, name: str) -> tuple[Stream, ...]:
    if where.one_sequence:
        return (Stream.TEXT, Stream.IMAGE)
    return (Stream.TEXT,) if any(word in name for word in _OF_TEXT) else (Stream.IMAGE,)


def _token_dimension(where: BlockRange, x: Tensor) -> int:
    """Which dimension of a norm's input the tokens are: the second one, also where its heads follow.

    Queries and keys of FLUX before diffusers 0.35 have their heads first.
    """
    return 2 if x.ndim == 4 and where.flux_before_035 else 1


def _freezing(
    own: Mapping[Stream, Sigmas], bins: TimestepBins, facts: ForwardFacts, calls: Calls, index: int, where: BlockRange
) -> Any:
    def freeze(norm: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        x: Tensor = args[0]
        timestep_bin = bins.of(facts.timestep)
        values = {stream: sigmas.mean[timestep_bin] for stream, sigmas in own.items()}
        sigma: Tensor | float
        if len(values) == 1:
            (sigma,) = values.values()
        else:
            dimension = _token_dimension(where, x)
            tokens = x.shape[dimension]
            sigma = torch.full((tokens,), values[Stream.IMAGE], device=x.device, dtype=_wide(x).dtype)
            sigma[: tokens - facts.image_tokens] = values[Stream.TEXT]
            sigma = sigma.view(*(tokens if i == dimension else 1 for i in range(x.ndim)))
        calls.note(index)
        return frozen_output(norm, x, sigma).to(output.dtype)

    return freeze


def _measured(
    where: BlockRange, index: int, forwards: Forwards, bins: TimestepBins, *, qk: bool
) -> dict[NormSite, Sigmas]:
    """The constants of one block's norms, from the divisors of all tokens of all forwards."""
    seen: dict[NormSite, list[list[Tensor]]] = {}
    with forward_facts(where.model) as facts, ExitStack() as hooks:

        def measuring(name: str) -> Any:
            def measure(norm: nn.Module, args: tuple[Any, ...]) -> None:
                x: Tensor = args[0].movedim(_token_dimension(where, args[0]), 1)
                streams = _streams(where, name)
                parts = {streams[0]: x} if len(streams) == 1 else split_joined(x, facts.image_tokens)
                for stream, tokens in parts.items():
                    by_bin = seen.setdefault(NormSite(index, name, stream), [[] for _ in range(len(bins))])
                    by_bin[bins.of(facts.timestep)].append(divisor(norm, tokens).flatten().cpu())

            return measure

        for name, norm in norm_names(where.blocks[index], qk=qk).items():
            remove_after(hooks, norm.register_forward_pre_hook(measuring(name)))
        replay(where.model, forwards)
    return {site: _summed(by_bin) for site, by_bin in seen.items()}


def _summed(by_bin: list[list[Tensor]]) -> Sigmas:
    filled = [i for i, parts in enumerate(by_bin) if parts]
    means: list[float] = []
    quantiles: list[tuple[float, ...]] = []
    for i in range(len(by_bin)):
        values = torch.cat(by_bin[min(filled, key=lambda j: abs(j - i))]).double()
        means.append(float(values.mean()))
        # By sorting: torch.quantile refuses more than 16 million values.
        ordered = values.sort().values
        quantiles.append(tuple(float(ordered[round(q * (len(ordered) - 1))]) for q in QUANTILES))
    return Sigmas(tuple(means), tuple(quantiles))


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
