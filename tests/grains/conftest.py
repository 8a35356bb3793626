"""Small models with random weights; see tests/helpers/models.py."""

from __future__ import annotations

import pytest

from tests.helpers import models


@pytest.fixture
def model(family):
    return models.FAMILIES[family]()
