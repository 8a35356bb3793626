"""What there is to lose, and harm in percent of it."""

from __future__ import annotations

import numpy as np
import pytest

from harness.ablation.plan import parse
from harness.analysis.study import Study
from harness.lab.lab import Lab
from harness.lab.to_lose import lost_percent
from harness.models.checkpoints.resolve import resolve
from harness.results.share import share_interval


@pytest.fixture(scope="module")
def lab():
    checkpoint = resolve("flux-tiny")
    return Lab(checkpoint, prompts=Lab(checkpoint).prompts[:6])


def test_it_is_the_score_of_an_image_with_its_own_prompt_above_that_with_the_others(lab):
    first = lab.control.seeds[0]
    slow = [
        first.scores[i]
        - np.mean([lab.judge.score(first.features[i : i + 1], [lab.prompts[j]])[0] for j in range(6) if j != i])
        for i in range(6)
    ]
    assert lab.prompt_ignoring_harm == pytest.approx(slow, abs=1e-4)
    assert (lab.prompt_ignoring_harm > 20).all()  # points: the bundled judge tells its prompts apart


def test_a_variant_says_what_percent_of_it_is_lost_on_the_scale_of_the_claims(lab):
    measured = lab.run(parse("0 4"), "double").measurement
    harm, study = np.array(measured.values["harm"]), Study(lab)
    found = share_interval(study.harm(measured), study.prompt_ignoring_harm)
    summary = measured.summary
    assert summary["to_lose"] == pytest.approx(lab.prompt_ignoring_harm.mean())
    assert summary["lost_percent"] == pytest.approx(100 * harm.mean() / summary["to_lose"], rel=1e-4)
    assert summary["lost_percent"] == pytest.approx(100 * found.value, rel=1e-4)
    ends = (summary["lost_percent_low"], summary["lost_percent_high"])
    assert ends == pytest.approx((100 * found.low, 100 * found.high), rel=1e-3)
    same = lab.run(parse("0-4"), "double").measurement
    assert same.summary["lost_percent"] == 0


def test_nothing_is_said_where_there_is_nothing_to_lose():
    assert lost_percent(np.ones(8), -np.ones(8)) == {}
    assert lost_percent(np.ones(1), np.full(1, np.nan)) == {}
    noise = lost_percent(np.ones(8), np.array([9.0, -8, 7, -6, 5, -4, 3, -2]))
    assert (noise["lost_percent_low"], noise["lost_percent_high"]) == (-np.inf, np.inf)
