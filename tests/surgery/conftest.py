"""A small model of the family under test."""

from __future__ import annotations

import pytest

from tests.helpers import models


@pytest.fixture
def model(family):
    return models.FAMILIES[family]()
