"""A variant's measurement: the control against itself, and some prompts against all of them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.lab.observation import of_prompts
from harness.lab.variant_measurement import measure_variant


def measured(lab, variant, indices=None):
    return measure_variant(
        [variant],
        lab.control,
        seed_sd=lab.seed_sd,
        metrics=lab.metrics,
        to_lose=lab.prompt_ignoring_harm,
        judge_check=lab.judge_check,
        indices=indices,
    )


def test_the_control_against_itself_has_no_harm_and_its_own_latents(lab):
    same = measured(lab, lab.control.seeds[0])
    assert (same.summary["harm"], same.summary["latent_drift"]) == (0.0, pytest.approx(0.0, abs=1e-6))
    assert same.latents_sha256 == lab.control.latents_sha256
    assert same.subset is None
    other = measured(lab, lab.control.seeds[1])
    assert other.summary["latent_drift"] == pytest.approx(1.0, abs=0.5)  # a reseed is the unit


def test_some_prompts_have_the_values_that_they_have_among_all(lab):
    variant, indices = lab.control.seeds[1], (6, 1, 3)
    whole = measured(lab, variant)
    part = measured(lab, of_prompts(variant, indices), indices)
    assert (part.n, part.prompts, part.subset.indices, part.subset.of) == (3, 3, indices, 8)
    np.testing.assert_array_equal(part.values["harm"], np.asarray(whole.values["harm"])[list(indices)])
    assert not {"mmd", "fid"} & set(part.summary)
    assert part.latents_sha256 == ""
    assert (
        measured(lab, of_prompts(lab.control.seeds[0], indices), indices).latents_sha256 == lab.control.latents_sha256
    )
