"""A package that only one runner needs is named with the command that installs it."""

from __future__ import annotations

import json
import sys

import pytest

from harness.errors import HarnessError
from harness.workers import ray_runner, slurm
from harness.workers.extras import import_extra
from harness.workers.store import Store
from tests.helpers.works import work


def test_what_is_installed_is_imported():
    assert import_extra("json", "x") is json


@pytest.mark.parametrize(("runner", "package", "extra"), [(ray_runner, "ray", "ray"), (slurm, "submitit", "slurm")])
def test_what_is_not_is_named(runner, package, extra, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"^--on {extra} needs the package {package}, .*: pip install 'dit-ablation-harness\[{extra}\]'$"
    with pytest.raises(HarnessError, match=message):
        runner.run(work(), Store(tmp_path), workers=1)
