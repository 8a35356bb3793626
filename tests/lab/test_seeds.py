"""Several seeds of a variant."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.ablation.plan import parse
from harness.errors import CheckpointError
from harness.lab.lab import Lab
from harness.lab.seeds import SeedFigures, combined
from harness.models.checkpoints.resolve import resolve
from harness.results.statistics import by_prompt


def figures(seed: int) -> SeedFigures:
    rng = np.random.default_rng(seed)
    values = {name: rng.random(5) for name in ("harm", "mse", "collapsed")}
    return SeedFigures(values, {"harm": float(values["harm"].mean()), "collapsed": 1.0, "psnr": 9.0})


def test_one_seed_is_left_as_it_is():
    one = figures(0)
    assert combined([one]) is one


def test_several_seeds_are_prompt_major():
    one, two = figures(0), figures(1)
    both = combined([one, two])
    assert both.values["harm"][:4].tolist() == [
        one.values["harm"][0],
        two.values["harm"][0],
        one.values["harm"][1],
        two.values["harm"][1],
    ]
    assert by_prompt(both.values["harm"], 5).mean() == pytest.approx(both.summary["harm"])
    assert both.summary["collapsed"] == pytest.approx(both.values["collapsed"].sum())
    mean_error = np.mean([one.values["mse"].mean(), two.values["mse"].mean()])
    assert both.summary["psnr"] == pytest.approx(-10 * np.log10(mean_error))


@pytest.fixture(scope="module")
def few():
    checkpoint = resolve("flux-tiny")
    return checkpoint, Lab(checkpoint).prompts[:6]


def test_two_seeds_of_a_variant(few):
    """The first seed's images are those of a run on one; the second is paired with the control's second."""
    checkpoint, prompts = few
    one, two = Lab(checkpoint, prompts=prompts), Lab(checkpoint, prompts=prompts, variant_seeds=2)
    plan = parse("0 4")
    single, observed = one.run(plan, "double")
    double, images = two.run(plan, "double")
    assert (single.n, double.n, double.prompts) == (6, 12, 6)
    assert double.latents_sha256 == single.latents_sha256
    assert (images.images == observed.images).all()
    assert double.values["harm"][::2] == single.values["harm"]
    second = two.observe(two.sample(plan, "double", seed=1)).scores
    assert double.values["score"][1::2] == pytest.approx(second, abs=1e-6)
    assert double.values["harm"][1::2] == pytest.approx(two.control.seeds[1].scores - second, abs=1e-6)
    assert double.summary["harm"] == pytest.approx(np.mean(double.values["harm"]) / two.seed_sd, abs=1e-5)
    assert two.run(parse("0-4"), "double")[0].summary["harm"] == 0  # the identity, on both seeds
    # Nothing is said of it where it is as it always was, so that stored values stay comparable.
    assert "variant_seeds" not in one.fingerprint.sampling
    assert two.fingerprint.sampling["variant_seeds"] == 2


@pytest.mark.parametrize(
    ("seeds", "wanted", "message"),
    [
        pytest.param(1, 1, '"seeds": 1 in harness.json.*it needs 2 or more', id="one-seed"),
        pytest.param(4, 5, "can't run on 5 seeds.*measures its control on 4", id="more-than-the-control"),
    ],
)
def test_too_few_seeds_of_the_control_are_named(few, seeds, wanted, message):
    checkpoint = few[0]
    bare = dataclasses.replace(checkpoint, settings=dataclasses.replace(checkpoint.settings, seeds=seeds))
    with pytest.raises(CheckpointError, match=message) as raised:
        Lab(bare, prompts=["a"], variant_seeds=wanted)
    assert "\n" not in str(raised.value)
