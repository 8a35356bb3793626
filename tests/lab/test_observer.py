"""What looks at images gives the same of images that it has seen as of images that are new."""

from __future__ import annotations

import numpy as np


def test_known_bytes_and_features_are_looked_at_as_new_images_are(lab):
    samples = lab.sampler.sample(lab.prompts, seed=0)
    new = lab.observer.observe(samples)
    known = lab.observer.of(samples.latents, new.images, new.collapsed, new.features)
    np.testing.assert_array_equal(known.scores, new.scores)
    assert known.latents_sha256 == new.latents_sha256 == samples.sha256()
    assert all(np.array_equal(values, new.extra.grades[name]) for name, values in known.extra.grades.items())


def test_collapsed_images_are_grey(lab):
    samples = lab.sampler.sample(lab.prompts, seed=0)
    samples.images[1] = float("nan")
    seen = lab.observer.observe(samples)
    assert seen.collapsed.tolist() == [i == 1 for i in range(len(lab.prompts))]
    assert (seen.images[1] == 128).all()
