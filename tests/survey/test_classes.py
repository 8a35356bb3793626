"""The classes that a survey is made of."""

from __future__ import annotations

import diffusers
from torch import nn

from harness.models.spec import FAMILIES
from harness.survey.classes import transformer_classes


def test_the_families_are_among_them_and_all_are_diffusers_own():
    classes = transformer_classes()
    assert set(FAMILIES) <= set(classes)
    assert list(classes) == sorted(classes)
    assert all(getattr(diffusers, name) is found and issubclass(found, nn.Module) for name, found in classes.items())
    assert len(classes) >= 10
