"""Checkpoints that would run code of their own under an old diffusers: nothing of it runs, under any version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers import hubs

# Whoever imports it leaves a file behind.
EVIL = "import pathlib\npathlib.Path({canary!r}).write_text('ran')\nclass Innocent:\n    pass\n"


def fingerprint(name, environment):
    return subprocess.run(
        [sys.executable, "-m", "harness", "fingerprint", str(name), "--threads", "1", "--device", "cpu"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("component", "of_the_hub"), [("vae", False), ("vae", True), ("scheduler", False), ("tokenizer", False)]
)
def test_a_module_in_a_components_folder_is_not_imported(component, of_the_hub, tmp_path):
    folder, canary = shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "mine"), tmp_path / "canary"
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {component: ["evil", "Innocent"]}))
    settings = json.loads((folder / "harness.json").read_text())
    paths = {name: str((BUNDLED / "flux-tiny" / settings[name]).resolve()) for name in ("judge", "prompts")}
    (folder / "harness.json").write_text(json.dumps(settings | paths))
    (folder / component / "evil.py").write_text(EVIL.format(canary=str(canary)))
    cache = tmp_path / "hf" / "hub"
    if of_the_hub:
        hubs.put(cache, "evil/flux", folder)
    done = fingerprint("evil/flux" if of_the_hub else folder, os.environ | {"HF_HUB_CACHE": str(cache)})
    assert not canary.exists()
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: checkpoint ")
    assert f'"{component}": ["evil", "Innocent"]; only classes of diffusers and transformers' in done.stderr
    assert done.stderr.count("\n") == 1
