"""What the layers do: similarity, groups, angular distance, velocity error, and which of it predicts harm.

Runs only when asked for: ``--dit-analysis``, this file on the command line, or ``-k analysis``.
"""

import pytest

pytestmark = pytest.mark.dit("bundled")


def test_layers(study):
    """Similarity, influence and angular distance of every stream, on the trajectory and on noised images."""
    study.check_layers()


def test_groups(study):
    """Blocks that resemble each other, in two to six groups, or the answer that there are none."""
    study.check_groups()


def test_velocity(study):
    """The velocity error of skipping each block at each denoising step."""
    study.check_velocity()


def test_predictors(study):
    """The harm of skipping each block, and how well cheap measures rank the blocks by it."""
    study.check_predictors()


def test_additivity(study):
    """Skipping two blocks together, against the sum of skipping each."""
    study.check_additivity()
