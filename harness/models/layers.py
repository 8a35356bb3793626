"""RGBA layers of an image: what they look like one over the other, and how far two decompositions are apart.

Layers are (..., L, 4, H, W) in 0..1: red, green and blue, not multiplied by alpha, then alpha. The first layer is the
background, as QwenImageLayeredPipeline of diffusers returns them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.errors import DataError

# What stands behind the background where that is not opaque: a collapsed image is this grey, too.
BACKDROP = 0.5


def composite(layers: Tensor, backdrop: float = BACKDROP) -> Tensor:
    """(..., 3, H, W): each layer laid over those before it ("over" of Porter and Duff 1984), on a grey backdrop.

    ``layers`` are (..., L, 4, H, W). Where the last layer is opaque the result is that layer's colour to the bit.
    Raises DataError for tensors of another shape.
    """
    _check(layers)
    colour = torch.full_like(layers[..., 0, :3, :, :], backdrop)
    for layer in layers.unbind(-4):
        rgb, alpha = layer[..., :3, :, :], layer[..., 3:, :, :]
        colour = rgb * alpha + colour * (1 - alpha)
    return colour


def over_backdrop(layers: Tensor, backdrop: float = BACKDROP) -> Tensor:
    """(..., L, 3, H, W): each of (..., L, 4, H, W) layers alone, as :func:`composite` shows it."""
    return composite(layers.unsqueeze(-4), backdrop)


def layer_drift(control: Tensor, variant: Tensor) -> Tensor:
    """(..., L) mean squared difference of each layer's red, green and blue, multiplied by its alpha; 0..1.

    What can't be seen doesn't count: the colours of a transparent pixel are 0 in both. Raises DataError for layers of
    different shapes.
    """
    _check(control, variant)
    return (_premultiplied(control) - _premultiplied(variant)).square().mean(dim=(-3, -2, -1))


def alpha_drift(control: Tensor, variant: Tensor) -> Tensor:
    """(..., L) mean squared difference of each layer's alpha; 0..1. Raises DataError as :func:`layer_drift`."""
    _check(control, variant)
    return (control[..., 3, :, :] - variant[..., 3, :, :]).square().mean(dim=(-2, -1))


def _premultiplied(layers: Tensor) -> Tensor:
    return layers[..., :3, :, :] * layers[..., 3:, :, :]


def _check(*several: Tensor) -> None:
    for layers in several:
        if layers.ndim < 4 or layers.shape[-3] != 4:
            raise DataError(f"layers are (..., layers, 4, height, width), not {tuple(layers.shape)}")
        if layers.shape != several[0].shape:
            raise DataError(
                f"layers of shapes {tuple(several[0].shape)} and {tuple(layers.shape)} can't be compared: make both "
                "with as many layers, at one resolution"
            )
