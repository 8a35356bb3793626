"""Frozen norms: a slow reference with modules written out, calibrated block by block, exact where nothing is frozen."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch import nn

from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.grains.block_range import Stream
from harness.grains.freeze_norm import (
    QUANTILES,
    FrozenNorms,
    NormSite,
    calibrate_norms,
    divisor,
    freeze_norms,
    frozen_output,
    norm_names,
    spread,
)
from tests.helpers import models
from tests.helpers.models import blocks, one_tensor, run

EVERY_STACK = pytest.mark.parametrize(("family", "stack"), models.STACKS)
IMAGE = {"flux": 9, "sd3": 16, "auraflow": 16}


def at(arguments, timestep):
    """The same forward at one timestep."""
    return {**arguments, "timestep": torch.full_like(arguments["timestep"], timestep)}


class FakeNorm(nn.Module):
    """FakeLN written out, token by token; a dictionary of sigmas by stream.

    ``heads_first``: queries and keys are (B, heads, tokens, width).
    """

    def __init__(self, norm, sigmas, image, heads_first):
        super().__init__()
        self.norm, self.sigmas, self.image, self.heads_first = norm, sigmas, image, heads_first

    def forward(self, x):
        if self.heads_first and x.ndim == 4:
            return self.tokens_first(x.transpose(1, 2)).transpose(1, 2)
        return self.tokens_first(x)

    def tokens_first(self, x):
        out = torch.empty_like(x)
        rms = "RMS" in type(self.norm).__name__
        for token in range(x.shape[1]):
            if len(self.sigmas) == 1:
                (sigma,) = self.sigmas.values()
            else:
                sigma = self.sigmas[Stream.TEXT if token < x.shape[1] - self.image else Stream.IMAGE]
            part = x[:, token]
            part = part if rms else part - part.mean(-1, keepdim=True)
            part = part / sigma
            out[:, token] = part if self.norm.weight is None else part * self.norm.weight
        return out


def keeping(seen, name):
    """A hook that keeps what a norm divides by."""

    def keep(norm, args):
        seen[name] = divisor(norm, args[0])

    return keep


def by_hand(transformer, stack, frozen, image):
    """A copy of the model with its norms replaced by :class:`FakeNorm`, for one bin of the timestep."""
    model = copy.deepcopy(transformer)
    heads_first = isinstance(transformer, FluxTransformer2DModel) and one_tensor(transformer, "single")
    for index in frozen.span.blocks:
        block = blocks(model, stack)[index]
        for name in norm_names(block, qk=frozen.with_qk):
            own = {s.stream: v.mean[0] for s, v in frozen.sigmas.items() if s[:2] == (index, name)}
            parent, _, leaf = name.rpartition(".")
            setattr(block.get_submodule(parent), leaf, FakeNorm(block.get_submodule(name), own, image, heads_first))
    return model


@EVERY_STACK
@pytest.mark.parametrize("qk", [False, True])
def test_it_agrees_with_norms_written_out(model, stack, family, qk):
    transformer, arguments = model
    before = run(transformer, arguments)
    frozen = calibrate_norms(transformer, stack, Span(1, 2), [arguments], qk=qk)
    with freeze_norms(transformer, frozen) as calls:
        out = run(transformer, arguments)
    reference = run(by_hand(transformer, stack, frozen, IMAGE[family]), arguments)
    torch.testing.assert_close(out, reference, rtol=1e-4, atol=1e-4)
    assert calls.counts.keys() == {1, 2}
    assert (out - before).abs().max() > 1e-4
    assert torch.equal(run(transformer, arguments), before)
    assert any(site.norm.startswith("attn") for site in frozen.sigmas) == qk


@EVERY_STACK
def test_with_nothing_frozen_it_is_bitwise_the_control(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    with freeze_norms(transformer, None) as calls:
        assert torch.equal(run(transformer, arguments), before)
    assert not calls.counts


@EVERY_STACK
def test_a_sigma_of_each_token_is_the_norm_itself(model, stack):
    transformer, _ = model
    generator = torch.Generator().manual_seed(0)
    for block in blocks(transformer, stack):
        for name, norm in norm_names(block, qk=True).items():
            width = getattr(norm, "normalized_shape", None) or norm.dim
            x = torch.randn(2, 5, width[-1], generator=generator) * 3 + 1
            with torch.no_grad():
                torch.testing.assert_close(frozen_output(norm, x, divisor(norm, x)), norm(x), msg=name)


@EVERY_STACK
def test_each_block_is_calibrated_with_those_before_it_frozen(model, stack):
    transformer, arguments = model
    frozen = calibrate_norms(transformer, stack, Span(1, 3), [arguments])
    for last in (1, 2):
        shorter = {site: sigmas for site, sigmas in frozen.sigmas.items() if site.block <= last}
        seen = {}

        norms = norm_names(blocks(transformer, stack)[last + 1])
        hooks = [norm.register_forward_pre_hook(keeping(seen, name)) for name, norm in norms.items()]
        with freeze_norms(transformer, FrozenNorms(frozen.stack, frozen.span, frozen.bins, False, shorter)):
            run(transformer, arguments)
        for hook in hooks:
            hook.remove()
        for name, sigmas in seen.items():
            sites = [site for site in frozen.sigmas if site[:2] == (last + 1, name)]
            if len(sites) == 1:
                assert frozen.sigmas[sites[0]].mean[0] == pytest.approx(float(sigmas.mean()), rel=1e-5)
            else:
                parts = {Stream.IMAGE: sigmas[:, -9:] if sigmas.shape[1] == 14 else sigmas[:, -16:]}
                parts[Stream.TEXT] = sigmas[:, : -parts[Stream.IMAGE].shape[1]]
                for site in sites:
                    expected = float(parts[site.stream].mean())
                    assert frozen.sigmas[site].mean[0] == pytest.approx(expected, rel=1e-5)


def test_a_later_block_has_other_constants_than_measured_alone():
    transformer, arguments = models.flux()
    together = calibrate_norms(transformer, "double", Span(0, 2), [arguments])
    alone = calibrate_norms(transformer, "double", Span(2, 2), [arguments])
    site = NormSite(2, "norm1.norm", Stream.IMAGE)
    assert together.sigmas[site].mean != alone.sigmas[site].mean
    first = NormSite(0, "norm1_context.norm", Stream.TEXT)
    assert together.sigmas[first] == calibrate_norms(transformer, "double", Span(0, 0), [arguments]).sigmas[first]


def test_each_bin_of_the_timestep_has_its_own_constant():
    transformer, arguments = models.flux()
    forwards = [at(arguments, t) for t in (0.2, 0.5, 0.9)]
    frozen = calibrate_norms(transformer, "double", Span(1, 1), forwards)
    assert len(frozen.bins) == 3
    site = NormSite(1, "norm1_context.norm", Stream.TEXT)
    assert len(set(frozen.sigmas[site].mean)) == 3
    only = [calibrate_norms(transformer, "double", Span(1, 1), [f]) for f in forwards]
    assert frozen.sigmas[site].mean == tuple(one.sigmas[site].mean[0] for one in only)
    # Each forward is frozen with the constants of its own bin.
    for arguments_at, alone in zip(forwards, only, strict=True):
        with freeze_norms(transformer, frozen):
            out = run(transformer, arguments_at)
        with freeze_norms(transformer, alone):
            assert torch.equal(run(transformer, arguments_at), out)
    two = calibrate_norms(transformer, "double", Span(1, 1), forwards, bins=2)
    assert len(two.sigmas[site].mean) == 2


def test_the_spread_of_tokens_is_told():
    transformer, arguments = models.flux()
    frozen = calibrate_norms(transformer, "single", Span(0, 1), [arguments])
    site = NormSite(0, "norm.norm", Stream.IMAGE)
    quantiles = frozen.sigmas[site].quantiles[0]
    assert list(quantiles) == sorted(quantiles)
    assert len(quantiles) == len(QUANTILES)
    assert quantiles[0] < frozen.sigmas[site].mean[0] < quantiles[-1]
    median, tail = spread(frozen)[site]
    assert median == pytest.approx(quantiles[1] / frozen.sigmas[site].mean[0])
    assert tail == pytest.approx(quantiles[3] / frozen.sigmas[site].mean[0])
    assert {s.stream for s in frozen.sigmas} == set(Stream)


def test_half_precision_stays_half():
    transformer, arguments = models.flux()
    transformer.to(torch.bfloat16)
    arguments = {k: v.to(torch.bfloat16) if isinstance(v, torch.Tensor) else v for k, v in arguments.items()}
    frozen = calibrate_norms(transformer, "double", Span(0, 1), [arguments], qk=True)
    with freeze_norms(transformer, frozen):
        assert run(transformer, arguments).dtype == torch.bfloat16


@EVERY_STACK
def test_an_exception_inside_leaves_the_model_as_it_was(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    frozen = calibrate_norms(transformer, stack, Span(0, 0), [arguments])

    def fail():
        with freeze_norms(transformer, frozen):
            run(transformer, arguments)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(run(transformer, arguments), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in transformer.modules())


def test_wrong_input_is_named():
    transformer, arguments = models.flux()
    frozen = calibrate_norms(transformer, "double", Span(0, 0), [arguments])
    with (
        pytest.raises(SurgeryError, match="frozen norms of stack 'double' 0: no call"),
        freeze_norms(transformer, frozen),
    ):
        pass
    with pytest.raises(CaseError, match="range '3-7' for stack 'double' doesn't fit its 4 blocks"):
        calibrate_norms(transformer, "double", Span(3, 7), [arguments])
    for block in transformer.transformer_blocks:
        for name in list(norm_names(block, qk=True)):
            if name.startswith("attn"):
                setattr(block.attn, name.partition(".")[2], nn.Identity())
    with pytest.raises(CaseError, match="no norms of queries and keys"):
        calibrate_norms(transformer, "double", Span(0, 0), [arguments], qk=True)
