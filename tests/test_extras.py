"""A package that only some commands need is named with the command that installs it."""

from __future__ import annotations

import json
import sys

import pytest

from harness.errors import HarnessError
from harness.extras import import_extra
from harness.workers import ray_runner, slurm
from harness.workers.store import Store
from tests.helpers.works import work


def test_what_is_installed_is_imported():
    assert import_extra("json", "x", "--on x") is json


@pytest.mark.parametrize(("runner", "package", "extra"), [(ray_runner, "ray", "ray"), (slurm, "submitit", "slurm")])
def test_what_is_not_is_named(runner, package, extra, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"^--on {extra} needs the package {package}, .*; run: pip install 'dit-ablation-harness\[{extra}\]'$"
    with pytest.raises(HarnessError, match=message):
        runner.run(work(), Store(tmp_path), workers=1)
