"""``python -m harness night``; tests/e2e/test_nightly.py runs it in the workflow's own steps."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from harness.cli.main import main
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.journal import write_journal
from harness.results.records import Status
from tests.helpers.records import quality


@pytest.mark.parametrize(
    ("checkpoint", "files", "dtype", "said"),
    [
        ("", (), [], "yes"),
        ("FLUX.1-dev", (), [], "no"),
        ("FLUX.1-dev", ("cpu-float32.json",), [], "no"),
        ("FLUX.1-dev", ("nvidia-h200-bfloat16.json",), [], "yes"),
        ("FLUX.1-dev", ("nvidia-h200-bfloat16.json",), ["--dtype", "fp16"], "no"),
        ("flux-tiny", ("cpu-float32.json",), [], "yes"),
    ],
)
def test_whether_values_are_stored(checkpoint, files, dtype, said, tmp_path, capsys):
    name = checkpoint.lower()
    for file in files:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text("{}")
    assert main(["night", "stored", checkpoint, *dtype, "--baselines", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{said}\n"


def tell(tmp_path, *more):
    arguments = ["night", "tell", str(tmp_path / "run"), "--name", "m bf16", "--parts", str(tmp_path / "parts")]
    return main([*arguments, "--summary", str(tmp_path / "s.md"), "--issue", str(tmp_path / "issue.md"), *more])


def test_a_whole_run_is_told(tmp_path, capsys):
    bad = replace(quality("bad", 9.0, status=Status.REGRESSION), failure="harm 9 sd")
    write_journal(tmp_path / "run", [quality("fine", 0.1), bad])
    (tmp_path / "run" / "ranking.md").write_text("the page\n")
    (tmp_path / "s.md").write_text("before\n")
    (tmp_path / "parts" / "one").mkdir(parents=True)
    (tmp_path / "parts" / "one" / "exit-code-1").write_text("1\n")
    assert tell(tmp_path) == 0
    said = "m bf16: 1 of 2 results is red; shard 1 ended with exit code 1"
    assert capsys.readouterr().out == f"::error title=m-s-bad::harm 9 sd\n{said}\n"
    assert (tmp_path / "s.md").read_text() == f"before\n# {said}\n\nthe page\n\n"
    assert (tmp_path / "issue.md").read_text().startswith(f"### {said}\n")


def test_a_green_run_has_no_issue(tmp_path):
    write_journal(tmp_path / "run", [quality("fine", 0.1)])
    assert tell(tmp_path) == 0
    assert not (tmp_path / "issue.md").exists()


def test_what_is_left_of_a_run_is_told(tmp_path, capsys):
    part = tmp_path / "parts" / "part-0-2"
    write_journal(part, [quality("fine", 0.1)])
    (part / "exit-code-2").write_text("what")
    assert tell(tmp_path) == 0
    assert "1 result are red; shard 2 ended with exit code 1; there is no whole run" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "parts")
    assert tell(tmp_path) == 0
    assert "0 of 0 results are red; there is no whole run" in capsys.readouterr().out
    write_journal(tmp_path / "parts" / "x", [])
    (tmp_path / "parts" / "x" / "shard-1-of-1.jsonl").write_text("no record\n")
    assert tell(tmp_path) == 0
    assert "line 1 is no record" in capsys.readouterr().out


def test_baselines_are_put_together(tmp_path, capsys):
    part = tmp_path / "part"
    shutil.copytree(BUNDLED.parents[2] / "baselines", part)
    arguments = ["night", "baselines", str(part), "--into", str(tmp_path / "own")]
    assert main(arguments) == 0
    assert f"wrote {tmp_path / 'own' / 'flux-tiny' / 'cpu-float32.json'}\n" in capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == "nothing changed\n"
    assert main(["night", "baselines", str(tmp_path / "none"), "--into", str(part)]) == 4
    assert "there is no folder" in capsys.readouterr().err
