"""How a block is called is read from the model's source."""

from __future__ import annotations

import pytest

from harness.models.stacks import find_stack
from harness.surgery.block_contract import BlockContract, contract
from tests.helpers import models

pytestmark = pytest.mark.parametrize(("family", "stack"), models.STACKS)


def test_the_contract_is_read_from_the_source(model, stack):
    transformer, _ = model
    made = contract(transformer, find_stack(transformer, stack)[1])
    if models.one_tensor(transformer, stack):
        assert made == BlockContract(("hidden_states",), single=True)
    else:
        assert made == BlockContract(("encoder_hidden_states", "hidden_states"), single=False)
