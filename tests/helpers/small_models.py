"""Small random models of diffusers' classes, as the survey builds them, where the installed diffusers has the class."""

from __future__ import annotations

import diffusers
import pytest
from packaging.version import Version

from harness.survey.classes import transformer_classes
from harness.survey.survey import output, tiny_transformer
from harness.survey.tiny_inputs import tiny_inputs

_CLASSES = transformer_classes()


def small(name):
    """A transformer of the class and the arguments of a forward; skips the test where the release has no such class."""
    if name not in _CLASSES:
        pytest.skip(f"diffusers {diffusers.__version__} has no {name}")
    try:
        transformer = tiny_transformer(_CLASSES[name])
        arguments = tiny_inputs(transformer)
        output(transformer, arguments)
    except Exception as error:
        if Version(diffusers.__version__) >= Version("0.42"):
            raise
        pytest.skip(f"the small config is for another release: {error}")
    return transformer, arguments
