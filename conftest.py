"""Registers the plugin where no entry point did, so that a checkout that isn't installed works too."""

from __future__ import annotations

import importlib.util
import sys

import pytest

NAME = "harness.plugin"
# What `import` calls the packages that pyproject.toml lists under `dependencies`.
NEEDED = (
    *("pytest_benchmark", "torch", "torchvision", "diffusers", "transformers", "accelerate", "torchmetrics"),
    *("open_clip", "pandas", "numpy", "scipy", "matplotlib", "plotly", "PIL", "psutil", "rich", "safetensors"),
    *("tokenizers", "fsspec", "jinja2", "ruptures"),
)


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Early enough for the plugin's own options."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever forgets an environment has any version
        version = ".".join(map(str, sys.version_info[:2]))
        raise pytest.UsageError(f"the harness needs Python 3.11 or newer, and {sys.executable} is {version}")
    from harness import plugin
    from harness.errors import missing_package

    lacking = next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)
    if lacking is not None:
        raise pytest.UsageError(missing_package(lacking))
    if not pluginmanager.is_registered(plugin) and not pluginmanager.is_blocked(NAME):
        pluginmanager.register(plugin, NAME)
