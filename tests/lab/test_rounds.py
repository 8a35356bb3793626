"""A variant measured in rounds is the variant measured at once."""

from __future__ import annotations

import numpy as np
import pytest

from harness.ablation.plan import identity


def test_the_images_of_some_prompts_are_those_of_all(lab):
    whole = lab.run("double: 0 4").output
    part = lab.run("double: 0 4", indices=(6, 1, 3)).output
    difference = part.images.astype(int) - whole.images[[6, 1, 3]]
    assert np.abs(difference).max() <= 1  # another batch rounds in another way
    assert np.allclose(part.latents, whole.latents[[6, 1, 3]], atol=1e-4)


def test_rounds_give_the_figures_of_all_prompts_together(lab):
    whole = lab.run("double: 0 4").measurement
    rounds = [lab.run("double: 0 4", indices=indices).measurement for indices in ((6, 1, 3), (0, 7), (2, 4, 5))]
    assert [r.prompts for r in rounds] == [3, 2, 3]
    two = lab.joined(rounds[0], rounds[1])
    assert two.partial
    assert two.subset.indices == (6, 1, 3, 0, 7)
    assert two.subset.text == "5 of 8 prompts"
    both = lab.joined(two, rounds[2])
    assert not both.partial
    assert both.subset.indices == tuple(range(8))
    for name, values in whole.values.items():
        assert np.allclose(both.values[name], values, atol=1e-3), name
    assert set(whole.summary) - set(both.summary) <= {"mmd"}
    for name in both.summary:
        assert both.summary[name] == pytest.approx(whole.summary[name], rel=1e-3, abs=1e-3), name
    assert set(both.left_out) == {"MMD", "FID"}


def test_rounds_that_share_a_prompt_are_refused(lab):
    part = lab.run("double: 0 4", indices=(0, 1)).measurement
    with pytest.raises(ValueError, match="different prompts"):
        lab.joined(part, part)
    with pytest.raises(ValueError, match="different prompts"):
        lab.joined(part, lab.run("double: 0 4").measurement)


def test_a_plan_that_changes_nothing_has_the_controls_latents_in_every_round(lab):
    order = tuple(range(8))
    first = lab.run(identity(5), "double", None, order[:4]).measurement
    assert first.summary["harm"] == pytest.approx(0, abs=1e-2)
    if first.latents_sha256:  # bitwise, where a smaller batch computes the same
        assert first.latents_sha256 == lab.control.latents_sha256
    assert lab.run("double: 0 4", indices=order[:4]).measurement.latents_sha256 == ""
