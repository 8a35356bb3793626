"""A lab with pictures: what it says of a plan is what LayeredLab says of it, in cases' figures."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest

from harness.errors import CheckpointError, DataError
from harness.lab.cache import Cache
from harness.lab.lab import Lab
from harness.lab.layer_comparison import compare_layers
from harness.lab.layered_lab import Decomposition, LayeredLab
from harness.lab.pictures import drawn_pictures
from harness.models.checkpoints.resolve import BUNDLED
from harness.results import columns
from tests.helpers import pipelines

pytestmark = pytest.mark.skipif(
    not hasattr(diffusers, "QwenImageLayeredPipeline"), reason="this diffusers has no QwenImageLayeredPipeline"
)
PROMPTS = ["a large solid red circle on a white background", "a small striped blue cross on a grey background"]
PICTURES = drawn_pictures(PROMPTS)
SKIP = "transformer_blocks: 0 2-3"
SHARED = ("layer_drift", "alpha_drift", "layer_harm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pipelines.save_layered(tmp_path_factory.mktemp("layered"))


@pytest.fixture(scope="module")
def lab(folder, tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    return Lab(folder, pictures=PICTURES, metrics=["none"], cache=cache)


@pytest.fixture(scope="module")
def skipped(lab):
    return lab.run(SKIP)


def test_the_figures_of_a_case_are_those_of_a_layered_lab_to_the_bit(lab, skipped):
    same = LayeredLab(
        lab.sampler.pipeline,
        PICTURES,
        Decomposition(layers=2, steps=1, guidance=1.0),
        seeds=[0],
        judge=BUNDLED / "judge",
    )
    expected = dict(same.run(SKIP).summary)
    summary = skipped.measurement.summary
    assert -summary["clip_delta"] == expected.pop("composite_harm") != 0
    assert len(expected) == 3 * 3 + 1  # of two layers and of their mean, and the drift of the composite
    assert {name: summary[name] for name in expected} == expected


def test_a_skip_moves_alpha_by_more_than_its_gate_allows(lab, skipped):
    summary, values = skipped.measurement.summary, skipped.measurement.values
    assert summary["alpha_drift"] > 0.001
    for name in SHARED:
        assert len(values[name]) == 2
        assert np.mean(values[name]) == pytest.approx(summary[name], abs=1e-6)
    assert lab.control.summary()["reseed_alpha"] > 0
    assert lab.control.summary()["reseed_layer"] > 0
    assert skipped.output.images.shape == (2, 3, 640, 640)


def test_a_plan_that_changes_nothing_is_the_control_to_the_bit(lab):
    measured = lab.run("transformer_blocks: 0-3").measurement
    assert {measured.summary[name] for name in ("harm", "latent_drift", "composite_drift", *SHARED)} == {0.0}
    assert measured.latents_sha256 == lab.control.latents_sha256
    lab.check_identity("transformer_blocks")


def test_some_pictures_have_the_values_that_they_have_among_all(lab, skipped):
    part = lab.run(SKIP, indices=[1]).measurement
    assert part.values["alpha_drift"][0] == skipped.measurement.values["alpha_drift"][1]
    assert part.values["layer_harm"][0] == skipped.measurement.values["layer_harm"][1]


def test_the_controls_layers_are_taken_from_the_cache_as_they_were_made(lab, folder):
    made = lab.control.seeds[1]
    again = Lab(folder, pictures=PICTURES, metrics=["none"], cache=lab.cache)
    again.sampler.sample = lambda *_: pytest.fail("the control was made anew")
    kept = again.control.seeds[1]
    assert again.control.summary() == lab.control.summary()
    assert set(compare_layers(made.layers, kept.layers).summary.values()) == {0.0}


def test_the_fingerprint_has_pixels_texts_and_the_number_of_layers(lab, folder):
    assert lab.fingerprint.sampling["layers"] == 2
    swapped = [(PICTURES[1].image, PROMPTS[0]), (PICTURES[0].image, PROMPTS[1])]
    other = Lab(folder, pictures=swapped, metrics=["none"])
    assert other.prompts == lab.prompts == PROMPTS
    assert other.fingerprint.prompts != lab.fingerprint.prompts


def test_every_figure_is_declared_but_those_of_single_layers(lab, skipped):
    declared = {figure.name for figure in columns.figures()}
    alone = {f"{name}_{layer}" for name in SHARED for layer in (0, 1)}
    assert {*skipped.measurement.summary} - declared == alone
    assert {*lab.control_measurement().summary} <= declared


def test_labs_of_other_kinds_and_pictures_that_cannot_be_a_set_are_refused(folder):
    with pytest.raises(CheckpointError, match="so it needs some"):
        Lab(folder)
    with pytest.raises(CheckpointError, match="the texts of its pictures"):
        Lab(folder, pictures=PICTURES, prompts=PROMPTS)
    with pytest.raises(CheckpointError, match=r"'flux-tiny' \(FluxPipeline\) makes images from prompts alone"):
        Lab("flux-tiny", pictures=PICTURES)
    with pytest.raises(DataError, match="pictures 0 and 1 have the same text"):
        Lab(folder, pictures=[PICTURES[0], PICTURES[0]])
