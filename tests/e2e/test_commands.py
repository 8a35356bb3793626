"""Commands in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys


def test_list_gives_a_pipe_one_row_a_line():
    done = subprocess.run(
        [sys.executable, "-m", "harness", "list"], capture_output=True, text=True, check=True, env={"COLUMNS": "40"}
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("shuffle ") and line.endswith("on average.") for line in lines)
    assert not any(line != line.rstrip() for line in lines)
    assert "\x1b" not in done.stdout


def test_fingerprints_agree_between_processes():
    command = [sys.executable, "-m", "harness", "fingerprint", "flux-tiny"]
    once, again = (
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(2)
    )
    assert once == again
    assert len(once["latents_sha256"]) == 64


def test_list_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from harness.cli.main import main\n"
        "assert main(['list']) == main(['list', 'flux.1-dev', '--range', 'middle,each', '--strategy', 'skip']) == 0\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'open_clip', 'pandas', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
