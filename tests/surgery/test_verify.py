"""The proofs of surgery can fail."""

from __future__ import annotations

import pytest

from harness.ablation.plan import parse
from harness.errors import SurgeryError
from harness.surgery.verify import prove_identity, prove_listed
from harness.surgery.view import BlockView


def test_the_proofs_can_fail(random_labs, monkeypatch):
    lab = random_labs["auraflow-v0.2"]
    plan, forward = parse("0-30", length=32), lab.timed_forward()
    with pytest.raises(SurgeryError, match="the output differs from that of a model with just these blocks by"):
        prove_listed(lab.transformer, forward.arguments, plan, "single", lab.control)
    assert len(lab.transformer.single_transformer_blocks) == 32  # also after the error
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([*self._slots[1:], self._slots[0]]))
    with pytest.raises(SurgeryError, match="the identity behind slots differs from the model by"):
        prove_identity(lab.transformer, forward.arguments, "single")
