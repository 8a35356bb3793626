"""The loss of healing: what the student must do as the teacher does.

Normalised feature distillation of LAPTOP-Diff (Zhang et al. 2024, arXiv 2404.11098): a few feature terms with large
activations would drown the others, so each is divided by the norm of the teacher's feature. With f a block's output,
v the velocity, S and T student and teacher, K the number of features and |.| the L2 norm over all elements of one
image's tensor:

    loss = mean((v_S - v_T)^2) + weight / K * sum over k of  mean over images of  |f_S - f_T|^2 / |f_T|^2

The distance is squared, and so is the norm: a term is a relative error, without a unit. (The abstract says that the
terms are normalised by the teacher features' L2 norm. The paper's own formula could not be read when this was written,
so its exponent may differ.) Not normalised, for comparison, a term is mean((f_S - f_T)^2).

The velocity term is the same in both: the student learns the teacher's prediction, not the noise that was added. The
paper's third term, the denoising loss on real images, is left out, since no images but the teacher's own are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from harness.errors import SurgeryError

Features = Mapping[str, Tensor]  # name -> (N, tokens, width), of one forward
_LEAST_NORM = 1e-12  # squared; a teacher's feature that is all zero


class Loss(NamedTuple):
    """``total`` is what is minimised; ``output`` and ``features`` are its two parts, the latter without its weight."""

    total: Tensor
    output: Tensor
    features: Tensor


def distillation_loss(
    velocity: Tensor,
    features: Features,
    teacher_velocity: Tensor,
    teacher_features: Features,
    *,
    normalised: bool = True,
    weight: float = 1.0,
) -> Loss:
    """The loss of one batch, in fp32. Velocities are (N, ...), and both models' features have the same names.

    Raises SurgeryError where the features are not of the same blocks.
    """
    if features.keys() != teacher_features.keys():
        odd = sorted(features.keys() ^ teacher_features.keys())
        raise SurgeryError(f"student and teacher have other features: {', '.join(odd[:4])} is of one of them alone")
    output = (velocity.float() - teacher_velocity.float()).square().mean()
    terms = [_term(features[name], teacher, normalised=normalised) for name, teacher in teacher_features.items()]
    mean = torch.stack(terms).mean() if terms else torch.zeros_like(output)
    return Loss(output + weight * mean, output, mean)


def _term(student: Tensor, teacher: Tensor, *, normalised: bool) -> Tensor:
    squares = (student.float() - teacher.float()).square()
    if not normalised:
        return squares.mean()
    norms = teacher.float().square().flatten(1).sum(1).clamp_min(_LEAST_NORM)
    return (squares.flatten(1).sum(1) / norms).mean()
