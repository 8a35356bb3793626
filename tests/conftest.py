"""The tests of the harness itself: what goes where, how they are run, and the fixtures that several files share.

Where a test goes. The folders are those of ``harness/``: what is about ``harness/gates/verdict.py`` stands in
``tests/gates/test_verdict.py``, and where one file would be too long, in ``test_verdict_<what>.py`` beside it. What
starts a pytest or a process, or trains something, stands in ``tests/e2e/``, in one file an option or an idea
(``test_option_plan.py``). ``tests/test_tree.py`` holds every module to this, and has the few exceptions with their
reasons. Everything under ``tests/e2e/`` is marked ``e2e`` here, and nobody has to write that; what takes more than a
few seconds is marked ``slow`` besides. What takes more than half a minute and has smaller tests beside it is marked
``nightly``: it is left out unless its file or its mark is named (``pytest -m nightly``, or ``nox -s nightly``).

What is shared. No test file imports another one. Fixtures of one folder are in its own ``conftest.py``, those of
several here; what is no fixture (records made by hand, small models, slow references, projects for pytester) is in
``tests/helpers/``. Models are loaded once a session: leave ``lab`` and ``pipelines`` as you found them.

How they are run. ``pytest tests -m "not e2e" -n 2`` is the inner loop, under three minutes on two cores;
``pytest tests`` is everything; benchmarks run when they are named. Hypothesis draws ``FEWER`` examples in the inner
loop and its own number where ``HYPOTHESIS_PROFILE=ci`` says so, as CI does.
"""

# Imports of torch stand inside the fixtures: `pytest tests/ablation` needs none of it.

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import settings

from harness import extensions
from harness.ablation import modifiers, strategies

E2E = Path(__file__).parent / "e2e"
FEWER = 30

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers that each take all cores wait for each other

settings.register_profile("inner", max_examples=FEWER, deadline=None)
settings.register_profile("ci", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "inner"))


def pytest_collection_modifyitems(config, items):
    """Marks what stands under tests/e2e, and leaves out what runs at night unless its mark or its file is named."""
    for item in items:
        if E2E in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    if "nightly" in config.option.markexpr:
        return
    named = {(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args}
    left_out = [item for item in items if item.get_closest_marker("nightly") and item.path not in named]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def lab():
    """flux-tiny on eight of its prompts; whoever changes it puts it back."""
    from harness.lab.lab import Lab
    from harness.models.checkpoints.resolve import BUNDLED

    return Lab("flux-tiny", prompts=(BUNDLED / "prompts.txt").read_text().splitlines()[:8])


@pytest.fixture(scope="session")
def flux_study(lab):
    """A study of that lab."""
    from harness.analysis.study import Study

    return Study(lab)


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory):
    """Every family's bundled pipeline with random weights, by family."""
    from tests.helpers.models import random_pipelines

    return random_pipelines(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(scope="session")
def random_labs():
    """Labs on random weights of reduced size, by published name: one of each kind of architecture."""
    from harness.lab.random_lab import RandomLab
    from tests.helpers.random_weights import CPU, MODELS, least

    return {name: RandomLab(least(name, dtype), device=CPU) for name, dtype in MODELS.items()}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache, offline."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hf" / "hub"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that puts a package's metadata and module on the path, as an installer would."""

    def add(name, points, source="", version="0.3"):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(points))
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(textwrap.dedent(source))
        forget()

    def forget():
        extensions.found.cache_clear()
        extensions.checkpoints.cache_clear()
        strategies._foreign.cache_clear()
        modifiers._foreign.cache_clear()

    modules = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield add
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    monkeypatch.undo()
    forget()
