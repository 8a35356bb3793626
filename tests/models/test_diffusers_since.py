"""What the table says of the installed diffusers is so, and the documentation says the same."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
from packaging.version import Version

from harness.models.diffusers_since import SINCE, not_in_this_release
from tests.helpers.needs import missing

PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"


@pytest.mark.parametrize("name", SINCE)
def test_the_installed_release_has_it_from_that_release_on(name):
    method, _, argument = name.rstrip(")").partition("(")
    path = f"diffusers.hooks.{method}" if method.endswith("CacheConfig") else f"diffusers.{method}"
    assert bool(missing(path, argument)) is (Version(diffusers.__version__) < Version(SINCE[name]))


@pytest.mark.parametrize("release", sorted(set(SINCE.values())))
def test_the_documentation_has_a_row_for_each_release(release):
    (row,) = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {release} |")]
    for name in (name for name, since in SINCE.items() if since == release):
        assert f"`{name.replace('Transformer2DModel', 'Pipeline')}`" in row, name


def test_a_message_names_the_release_that_is_needed():
    has_no = f"diffusers {diffusers.__version__} has no "
    assert not_in_this_release("ZImagePipeline") == f"{has_no}ZImagePipeline; it needs diffusers >= 0.36"
    assert not_in_this_release("SomethingNew") == f"{has_no}SomethingNew; upgrade diffusers"
