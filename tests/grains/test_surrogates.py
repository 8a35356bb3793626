"""Surrogates: least squares as numpy solves it, exact where the range is linear, and the blocks don't run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.grains.block_range import Stream, block_range
from harness.grains.forward_facts import forward_facts
from harness.grains.surrogates import SurrogateKind, fit_surrogate, surrogate
from harness.surgery.trace import traced
from harness.surgery.view import BlockView, ablate
from tests.helpers import models
from tests.helpers.models import blocks, run

EVERY_STACK = pytest.mark.parametrize(("family", "stack"), models.STACKS)


def states(transformer, stack, span, arguments):
    """(x, y) of a range by stream, as float64 arrays (tokens, width), of one forward."""
    where = block_range(transformer, stack, span)
    kept = {}
    with forward_facts(where.model) as facts:

        def enter(block, args, kwargs):
            call = where.arguments(block, args, kwargs)
            kept["x"] = {s: t.clone() for s, t in where.inputs(call, facts.image_tokens).items()}

        def leave(_block, _args, output):
            kept["y"] = {s: t.clone() for s, t in where.outputs(output, facts.image_tokens).items()}

        handles = [
            where.blocks[span.first].register_forward_pre_hook(enter, with_kwargs=True),
            where.blocks[span.last].register_forward_hook(leave),
        ]
        run(transformer, arguments)
        for handle in handles:
            handle.remove()
    flat = {name: {s: t.flatten(0, 1).double().numpy() for s, t in kept[name].items()} for name in kept}
    return {s: (flat["x"][s], flat["y"][s]) for s in flat["y"]}


@EVERY_STACK
@pytest.mark.parametrize("kind", SurrogateKind)
def test_the_fit_is_the_least_squares_of_numpy(model, stack, kind):
    transformer, arguments = model
    span, ridge = Span(1, 2), 0.01
    fitted = fit_surrogate(transformer, stack, span, [arguments], kind, ridge=ridge)
    for stream, (x, y) in states(transformer, stack, span, arguments).items():
        (own,) = fitted.maps[stream]
        u = y - x
        if kind is SurrogateKind.MEAN:
            assert own.weight is None
            np.testing.assert_allclose(own.bias.numpy(), u.mean(0), rtol=1e-6)
            left = u - u.mean(0)
        else:
            # Ridge as rows of data: sqrt(lambda) on each direction, targets zero.
            centred, target = x - x.mean(0), u - u.mean(0)
            extra = np.sqrt(ridge * (centred**2).sum() / x.shape[1]) * np.eye(x.shape[1])
            rows = np.concatenate([centred, extra]), np.concatenate([target, np.zeros_like(extra)])
            weight = np.linalg.lstsq(*rows, rcond=None)[0]
            np.testing.assert_allclose(own.weight.numpy(), weight, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(own.bias.numpy(), u.mean(0) - x.mean(0) @ weight, rtol=1e-5, atol=1e-6)
            left = target - centred @ weight
        assert own.unexplained == pytest.approx((left**2).sum() / (u**2).sum(), abs=1e-6)


@EVERY_STACK
@pytest.mark.parametrize("kind", SurrogateKind)
def test_the_map_runs_in_the_place_of_the_blocks(model, stack, kind, family):
    transformer, arguments = model
    before = run(transformer, arguments)
    length = len(blocks(transformer, stack))
    fitted = fit_surrogate(transformer, stack, Span(1, 2), [arguments], kind)
    with surrogate(transformer, fitted) as calls, traced(transformer, stack) as ran:
        out = run(transformer, arguments)
    assert calls.counts == {1: 1}
    assert ran == [i for i in range(length) if i not in (1, 2)]
    # The slow reference: what leaves block 2, by the formula, put where the next block takes it.
    x_and_y = states(transformer, stack, Span(1, 2), arguments)
    where = block_range(transformer, stack, Span(2, 2))

    def put(_block, _args, output):
        rows = arguments["hidden_states"].shape[0]
        mapped = {}
        for stream, (x, _) in x_and_y.items():
            (own,) = fitted.maps[stream]
            y = x + own.bias.numpy() + (0 if own.weight is None else x @ own.weight.numpy())
            mapped[stream] = torch.from_numpy(y).float().unflatten(0, (rows, -1))
        return where.with_outputs(output, mapped)

    handle = where.blocks[2].register_forward_hook(put)
    torch.testing.assert_close(out, run(transformer, arguments), rtol=1e-4, atol=1e-4)
    handle.remove()
    assert (out - before).abs().max() > 1e-4
    assert torch.equal(run(transformer, arguments), before)


@EVERY_STACK
def test_a_range_that_is_linear_is_recovered(model, stack):
    transformer, arguments = model
    where = block_range(transformer, stack, Span(1, 1))
    generator = torch.Generator().manual_seed(3)
    weights = {s: 0.2 * torch.randn(16, 16, generator=generator) for s in Stream}
    biases = {s: torch.randn(16, generator=generator) for s in Stream}
    with forward_facts(where.model) as facts:

        def linear(block, args, kwargs, output):
            call = where.arguments(block, args, kwargs)
            inputs = where.inputs(call, facts.image_tokens)
            return where.with_outputs(output, {s: x + x @ weights[s] + biases[s] for s, x in inputs.items()})

        handle = where.blocks[1].register_forward_hook(linear, with_kwargs=True)
        # More tokens than the width has directions: other latents and texts.
        forwards = []
        for seed in range(6):
            noise = torch.Generator().manual_seed(seed)
            others = {k: torch.randn(arguments[k].shape, generator=noise) for k in _STATES if k in arguments}
            forwards.append({**arguments, **others})
        fitted = fit_surrogate(transformer, stack, Span(1, 1), forwards, ridge=0.0)
        expected = run(transformer, arguments)
        with surrogate(transformer, fitted):
            out = run(transformer, arguments)
        handle.remove()
    image = fitted.maps[Stream.IMAGE][0]
    torch.testing.assert_close(image.weight.float(), weights[Stream.IMAGE], rtol=1e-3, atol=1e-4)
    assert all(own.unexplained < 1e-9 for maps in fitted.maps.values() for own in maps)
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-3)


_STATES = ("hidden_states", "encoder_hidden_states")


@EVERY_STACK
def test_an_empty_range_is_bitwise_the_control(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    with surrogate(transformer, None) as calls:
        assert not isinstance(blocks(transformer, stack), BlockView)
        assert torch.equal(run(transformer, arguments), before)
    assert not calls.counts


def test_a_range_up_to_the_last_block_of_sd3_leaves_the_text_as_it_is():
    transformer, arguments = models.sd3()
    fitted = fit_surrogate(transformer, "joint", Span(4, 5), [arguments])
    assert set(fitted.maps) == {Stream.IMAGE}
    with surrogate(transformer, fitted) as calls:
        assert torch.isfinite(run(transformer, arguments)).all()
    assert calls.counts == {4: 1}


def test_bins_of_the_timestep_have_maps_of_their_own():
    transformer, arguments = models.flux()
    forwards = [{**arguments, "timestep": torch.full((2,), t)} for t in (0.1, 0.5, 0.9)]
    fitted = fit_surrogate(transformer, "double", Span(1, 2), forwards, SurrogateKind.MEAN, bins=3)
    maps = fitted.maps[Stream.IMAGE]
    assert len(maps) == 3
    assert not torch.equal(maps[0].bias, maps[2].bias)
    for one, forward in zip(maps, forwards, strict=True):
        alone = fit_surrogate(transformer, "double", Span(1, 2), [forward], SurrogateKind.MEAN)
        assert torch.equal(one.bias, alone.maps[Stream.IMAGE][0].bias)
        with surrogate(transformer, fitted):
            out = run(transformer, forward)
        with surrogate(transformer, alone):
            assert torch.equal(run(transformer, forward), out)


def test_an_exception_inside_leaves_the_model_as_it_was():
    transformer, arguments = models.auraflow()
    before = run(transformer, arguments)
    fitted = fit_surrogate(transformer, "single", Span(1, 2), [arguments])

    def fail():
        with surrogate(transformer, fitted):
            run(transformer, arguments)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not isinstance(transformer.single_transformer_blocks, BlockView)
    assert torch.equal(run(transformer, arguments), before)


def test_it_goes_over_a_plan():
    transformer, arguments = models.flux()
    fitted = fit_surrogate(transformer, "double", Span(1, 2), [arguments])
    with ablate(transformer, "double: 0-2"):
        plan = transformer.transformer_blocks
        with surrogate(transformer, fitted), traced(transformer, "double") as ran:
            run(transformer, arguments)
        assert transformer.transformer_blocks is plan
    assert ran == [0]


def test_wrong_input_is_named():
    transformer, arguments = models.flux()
    fitted = fit_surrogate(transformer, "double", Span(1, 2), [arguments])
    with (
        pytest.raises(SurgeryError, match="linear surrogate of stack 'double' 1-2: no call"),
        surrogate(transformer, fitted),
    ):
        pass
    with pytest.raises(CaseError, match="doesn't fit its 4 blocks"):
        fit_surrogate(transformer, "double", Span(3, 4), [arguments])
    with (
        ablate(transformer, "double: 0 3"),
        pytest.raises(SurgeryError, match="stack 'double' 1-2: its blocks didn't run"),
    ):
        fit_surrogate(transformer, "double", Span(1, 2), [arguments])
