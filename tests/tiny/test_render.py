"""Rendering."""

from __future__ import annotations

import numpy as np


def test_rendering_is_antialiased(scenes):
    _, images = scenes
    assert len(np.unique(images)) > 100
