"""Registers the plugin where no entry point did, so that a checkout that isn't installed works too."""

from __future__ import annotations

import pytest

NAME = "harness.plugin"


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Early enough for the plugin's own options."""
    from harness import plugin

    if not pluginmanager.is_registered(plugin) and not pluginmanager.is_blocked(NAME):
        pluginmanager.register(plugin, NAME)
