"""Quantisers of other packages: refused with the command that installs them; run where they are installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from harness.errors import CaseError
from harness.modifiers import quantisers
from tests.helpers.models import SPECS
from tests.helpers.samplers import PROMPTS, latents, sampler_of


def test_one_that_isnt_installed_is_named_with_the_command(pipelines, monkeypatch):
    monkeypatch.setattr(quantisers, "find_spec", lambda _name: None)
    with pytest.raises(CaseError, match=r"it needs torchao, .*: pip install 'dit-ablation-harness\[quant\]'"):
        latents(sampler_of(pipelines, "flux"), "quantiser.torchao-int8")


# `nox -s nightly` installs it. Where it is there, every import of diffusers takes half a second more.
@pytest.mark.nightly
@pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed: pip install torchao")
@pytest.mark.parametrize("family", SPECS)
def test_torchao_quantises_and_leaves_the_model_as_it_was(pipelines, family):
    sampler = sampler_of(pipelines, family)
    control = sampler.sample(PROMPTS, 0).latents
    quantised, _ = latents(sampler, "quantiser.torchao-int8")
    assert not torch.equal(quantised, control)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)
