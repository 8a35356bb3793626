"""A project of somebody's own, for runs inside a test."""

from __future__ import annotations

import pytest

from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers.projects import CASES, CONTROL, TOLERANCES


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    """The pytest that a test starts is no worker of the one outside: pytest-benchmark would measure nothing in it."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture(scope="session")
def loaded(lab):
    """pytester forgets what its in-process runs import, and torch can be imported once: so everything is, here."""
    import huggingface_hub.utils
    import peft

    import harness.lab.latency
    import harness.plugin.session
    import harness.report
    import harness.report.ranking_terminal
    from harness.lab.random_lab import RandomLab
    from harness.models.random_weights import checkpoint

    lab.run("double: 0 4")
    RandomLab(checkpoint.resolve("flux-tiny", "random:small")).run("double: 0 4")
    assert all((peft, huggingface_hub.utils, harness.plugin.session, harness.lab.latency))
    assert harness.report.ranking_terminal


@pytest.fixture(autouse=True)
def _loaded_first(request):
    """Before any run inside a test: see :func:`loaded`."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("loaded")


@pytest.fixture
def project(pytester, loaded):
    """A folder of somebody's own: one case file, a few prompts, tolerances, no baseline yet."""
    pytester.makepyfile(test_mine=CASES + CONTROL)
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:6]
    (pytester.path / "prompts.txt").write_text("\n".join(prompts) + "\n")
    (pytester.path / "baselines").mkdir()
    (pytester.path / "baselines" / "tolerances.toml").write_text(TOLERANCES)
    return pytester
