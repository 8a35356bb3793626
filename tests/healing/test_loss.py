"""The loss against a slow plain reference, and what normalising does."""

from __future__ import annotations

import math

import pytest
import torch

from harness.errors import SurgeryError
from harness.healing.loss import distillation_loss


def slow(velocity, features, target, targets, *, normalised, weight):
    """The formula of the module's docstring, one number after the other."""
    pairs = list(zip(velocity.flatten().tolist(), target.flatten().tolist(), strict=True))
    output = sum((a - b) ** 2 for a, b in pairs) / len(pairs)
    terms = []
    for name, teacher in targets.items():
        images = []
        for mine, theirs in zip(features[name], teacher, strict=True):
            numbers = list(zip(mine.flatten().tolist(), theirs.flatten().tolist(), strict=True))
            distance = math.sqrt(sum((a - b) ** 2 for a, b in numbers))
            norm = math.sqrt(sum(b * b for _, b in numbers))
            images.append((distance / norm) ** 2 if normalised else distance**2 / len(numbers))
        terms.append(sum(images) / len(images))
    mean = sum(terms) / len(terms)
    return output + weight * mean, output, mean


def made(seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return draw(3, 4, 5), {"a": draw(3, 4, 6), "b": scale * draw(3, 7, 2)}


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_it_is_the_formula(normalised, weight):
    (velocity, features), (target, targets) = made(0), made(1, scale=30.0)
    loss = distillation_loss(velocity, features, target, targets, normalised=normalised, weight=weight)
    expected = slow(velocity, features, target, targets, normalised=normalised, weight=weight)
    assert [float(part) for part in loss] == pytest.approx(list(expected), rel=1e-5)


def test_a_large_feature_drowns_the_others_unless_it_is_normalised():
    """Twice the scale of one feature in both models: a relative error doesn't see it, a mean square grows fourfold."""
    (velocity, features), (target, targets) = made(0), made(1)
    larger = [{**each, "b": 100 * each["b"]} for each in (features, targets)]
    for normalised, same in ((True, True), (False, False)):
        small = distillation_loss(velocity, features, target, targets, normalised=normalised).features
        large = distillation_loss(velocity, larger[0], target, larger[1], normalised=normalised).features
        assert torch.isclose(small, large, rtol=1e-4).item() is same


def test_the_teacher_itself_has_no_loss_and_a_feature_of_zeros_is_no_division_by_zero():
    velocity, features = made(0)
    assert float(distillation_loss(velocity, features, velocity, features).total) == 0
    zeros = {name: torch.zeros_like(value) for name, value in features.items()}
    assert math.isfinite(float(distillation_loss(velocity, zeros, velocity, zeros).total))


def test_the_gradient_reaches_the_student_alone():
    velocity, features = made(0)
    target, targets = made(1)
    student = features["a"].clone().requires_grad_()
    distillation_loss(velocity, {**features, "a": student}, target, targets).total.backward()
    norms = targets["a"].square().flatten(1).sum(1).view(-1, 1, 1)
    expected = 2 * (features["a"] - targets["a"]) / norms / 3 / 2  # a mean over three images and over two features
    assert torch.allclose(student.grad, expected, atol=1e-7)


def test_features_of_other_blocks_are_an_error():
    velocity, features = made(0)
    with pytest.raises(SurgeryError, match="b is of one of them alone"):
        distillation_loss(velocity, features, velocity, {"a": features["a"]})
