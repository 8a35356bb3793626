"""What is known of a forward while it runs."""

from __future__ import annotations

import pytest

from harness.grains.forward_facts import forward_facts, named_arguments, timestep_of
from tests.helpers import models
from tests.helpers.models import run

IMAGE = {"flux": 9, "sd3": 16, "auraflow": 16}


@pytest.mark.parametrize("family", models.FAMILIES)
def test_the_facts_are_those_of_the_forward_that_runs(model, family):
    transformer, arguments = model
    with forward_facts(transformer) as facts:
        run(transformer, arguments)
        assert (facts.forwards, facts.image_tokens) == (1, IMAGE[family])
        assert facts.timestep == pytest.approx(timestep_of(arguments))
        run(transformer, {**arguments, "timestep": arguments["timestep"] / 2})
        assert facts.forwards == 2
        assert facts.timestep == pytest.approx(timestep_of(arguments) / 2)
    assert not transformer._forward_pre_hooks


def test_arguments_by_position_get_their_names():
    transformer, arguments = models.auraflow()
    latents = arguments.pop("hidden_states")
    assert named_arguments(transformer, (latents,), arguments).keys() == {"hidden_states", *arguments}
    assert timestep_of(arguments) == pytest.approx(0.8)
