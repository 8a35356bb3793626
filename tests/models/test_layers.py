"""Layers one over the other, and distances between decompositions, against plain loops over pixels."""

from __future__ import annotations

import pytest
import torch

from harness.errors import DataError
from harness.models.layers import alpha_drift, composite, layer_drift, over_backdrop


def layers(seed=0, count=3, side=5):
    return torch.rand(count, 4, side, side, generator=torch.Generator().manual_seed(seed))


def with_alpha(some, layer, alpha):
    changed = some.clone()
    changed[layer, 3] = alpha
    return changed


def over(some, backdrop):
    """The slow reference: pixel by pixel, channel by channel."""
    count, _, height, width = some.shape
    out = torch.empty(3, height, width)
    for y in range(height):
        for x in range(width):
            for channel in range(3):
                colour = backdrop
                for layer in range(count):
                    alpha = float(some[layer, 3, y, x])
                    colour = float(some[layer, channel, y, x]) * alpha + colour * (1 - alpha)
                out[channel, y, x] = colour
    return out


@pytest.mark.parametrize("backdrop", [0.0, 0.5, 1.0])
def test_the_composite_is_that_of_a_loop_over_pixels(backdrop):
    torch.testing.assert_close(composite(layers(), backdrop), over(layers(), backdrop))


def test_an_opaque_last_layer_is_the_composite_to_the_bit():
    some = with_alpha(layers(), 2, 1.0)
    assert torch.equal(composite(some), some[2, :3])


def test_transparent_layers_show_what_is_behind_them():
    some = with_alpha(layers(), 2, 0.0)
    assert torch.equal(composite(some), composite(some[:2]))
    nothing = layers()
    nothing[:, 3] = 0
    assert torch.equal(composite(nothing), torch.full((3, 5, 5), 0.5))


def test_the_first_layer_is_the_background():
    opaque = with_alpha(with_alpha(layers(count=2), 0, 1.0), 1, 1.0)
    assert torch.equal(composite(opaque), opaque[1, :3])
    assert torch.equal(composite(opaque.flip(0)), opaque[0, :3])


def test_several_decompositions_at_once_and_layers_alone():
    both = torch.stack([layers(0), layers(1)])
    assert torch.equal(composite(both), torch.stack([composite(layers(0)), composite(layers(1))]))
    alone = over_backdrop(both)
    assert alone.shape == (2, 3, 3, 5, 5)
    assert torch.equal(alone[1, 2], composite(layers(1)[2:]))


def test_drifts_are_per_layer_and_nothing_for_equal_layers():
    a = layers()
    assert layer_drift(a, a).tolist() == alpha_drift(a, a).tolist() == [0.0, 0.0, 0.0]
    b = with_alpha(a, 1, a[1, 3] * 0.5)
    assert (layer_drift(a, b) > 0).tolist() == (alpha_drift(a, b) > 0).tolist() == [False, True, False]
    torch.testing.assert_close(alpha_drift(a, b)[1], (a[1, 3] / 2).square().mean())
    torch.testing.assert_close(layer_drift(a, b)[1], (a[1, :3] * a[1, 3] / 2).square().mean())


def test_colours_that_cannot_be_seen_do_not_count():
    a = with_alpha(layers(), 0, 0.0)
    b = a.clone()
    b[0, :3] = 1 - b[0, :3]
    assert layer_drift(a, b).tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(composite(a), composite(b))


def test_black_on_white_is_the_whole_scale():
    black, white = torch.ones(1, 4, 2, 2), torch.ones(1, 4, 2, 2)
    black[:, :3] = 0
    assert layer_drift(black, white).tolist() == [1.0]
    assert alpha_drift(black, white * 0).tolist() == [1.0]


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (torch.ones(3, 2, 2), torch.ones(3, 2, 2), r"not \(3, 2, 2\)"),
        (torch.ones(2, 3, 2, 2), torch.ones(2, 3, 2, 2), r"layers are \(\.\.\., layers, 4, height, width\)"),
        (torch.ones(2, 4, 2, 2), torch.ones(3, 4, 2, 2), "can't be compared: make both with as many layers"),
    ],
)
def test_other_shapes_are_refused(a, b, said):
    for drift in (layer_drift, alpha_drift):
        with pytest.raises(DataError, match=said):
            drift(a, b)
