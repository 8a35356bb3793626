"""Pruning copies no weight."""

from __future__ import annotations

import pytest

from harness.surgery.pruning import chosen, family_of, prune
from tests.helpers import models


@pytest.mark.parametrize(("family", "plans"), [("flux", ["single: 0-2"]), ("sd3", ["joint: 0-4"])])
def test_no_weight_is_copied(family, plans):
    model, _ = models.FAMILIES[family]()
    pruned, _ = prune(model, family_of(model), chosen(model, plans))
    own = {value.data_ptr() for value in model.state_dict().values()}
    fresh = {key for key, value in pruned.state_dict().items() if value.data_ptr() not in own}
    last = "transformer_blocks.4.norm1_context.linear."
    assert fresh == ({last + "weight", last + "bias"} if family == "sd3" else set())
