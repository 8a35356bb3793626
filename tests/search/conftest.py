"""Tables of all removals for the tests of this folder."""

from __future__ import annotations

import pytest

from tests.helpers.truths import LENGTHS, table


@pytest.fixture
def truth():
    return table(LENGTHS)


@pytest.fixture
def additive():
    return table(LENGTHS, interaction=0.0, noise=0.0)
