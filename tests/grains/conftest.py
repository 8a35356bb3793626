"""Small models with random weights; see tests/helpers/models.py."""

from __future__ import annotations

import pytest
import torch

from tests.helpers import models


@pytest.fixture
def model(family):
    torch.manual_seed(0)  # or the weights, and with them how much an edge matters, would depend on the tests before
    return models.FAMILIES[family]()
