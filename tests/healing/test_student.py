"""The student: what of it is trained, in which numbers, and a LoRA that is merged."""

from __future__ import annotations

import pytest
import torch

from harness.errors import OptionError
from harness.healing import student as module
from harness.healing.student import Student, linear_layers
from harness.surgery.export import export
from tests.helpers import models


@pytest.fixture
def saved(tmp_path):
    model, arguments = models.flux(doubles=3, singles=2)
    export(model, "double: 0 2", tmp_path / "part")
    return type(model), tmp_path / "part", arguments


def made(saved, dtype=torch.float32, **changes):
    kind, folder, _ = saved
    return Student(kind, folder, torch.device("cpu"), dtype, **{"lora_rank": 0, "seed": 0, **changes})


def test_all_weights_are_trained_in_fp32_whatever_it_computes_in(saved):
    student = made(saved, torch.bfloat16)
    assert {p.dtype for p in student.parameters.values()} == {torch.float32}
    assert len(student.parameters) == len(list(student.model.parameters()))
    assert len(student.model.transformer_blocks) == 2
    done = student.finish(torch.bfloat16)
    assert {p.dtype for p in done.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in done.parameters())


def test_a_lora_changes_nothing_at_first_and_is_merged_at_the_end(saved):
    *_, arguments = saved
    before = made(saved).model.eval()
    student = made(saved, lora_rank=2, seed=5)
    names = [name for name in student.parameters if "lora_A" in name]
    assert len(names) == len(linear_layers(before)) == len(student.parameters) // 2
    assert all("transformer_blocks" in name for name in names)
    with torch.no_grad():
        assert torch.equal(student.model.eval()(**arguments)[0], before(**arguments)[0])
        for parameter in student.parameters.values():
            parameter.add_(0.05)
        trained = student.model(**arguments)[0]
        merged = student.finish(torch.float32)
        assert torch.allclose(merged(**arguments)[0], trained, atol=1e-4)
        assert not torch.allclose(trained, before(**arguments)[0], atol=1e-2)
    assert merged.state_dict().keys() == before.state_dict().keys()


def test_a_lora_is_frozen_in_the_models_dtype_and_trained_in_fp32_from_its_seed(saved):
    first, again, other = (made(saved, torch.bfloat16, lora_rank=2, seed=seed) for seed in (1, 1, 2))
    assert {p.dtype for p in first.parameters.values()} == {torch.float32}
    assert {p.dtype for p in first.model.parameters() if not p.requires_grad} == {torch.bfloat16}
    name = next(name for name in first.parameters if "lora_A" in name)
    assert torch.equal(first.parameters[name], again.parameters[name])
    assert not torch.equal(first.parameters[name], other.parameters[name])


def test_without_peft_a_lora_is_refused(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(OptionError, match=r"healing with a LoRA needs peft; run: pip install .*\[lora\]"):
        module.check_lora()
