"""The command that measures all sets of blocks of a small model: what it refuses before anything is loaded."""

from __future__ import annotations

import pytest

from harness.ablation.removals import Blocks
from harness.cli import truth
from harness.cli.main import main
from harness.lab.lab import Lab
from harness.search.journal import Measured, MeasuredHarm
from harness.search.truth import Truth, read_truth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "there is nothing to measure: give --errors FILE, --harms FILE or both"),
        (["--errors", "{folder}"], "it is a folder"),
        (["--harms", "{folder}/file/below.jsonl"], "is no folder"),
    ],
)
def test_what_can_not_be_done_is_one_line_before_the_model_is_loaded(options, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(truth, "Lab", None)
    (tmp_path / "file").write_text("")
    assert main(["truth", "flux-tiny", *(word.format(folder=tmp_path) for word in options)]) == 4
    assert message in capsys.readouterr().err


def test_a_model_of_many_blocks_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("harness.search.truth.MOST_BLOCKS", 14)
    assert main(["truth", "flux-tiny", "--errors", str(tmp_path / "t")]) == 4
    assert "flux-tiny has 15 blocks: 2^15 sets of them are too many to measure" in capsys.readouterr().err


def test_a_table_says_how_it_was_made(tmp_path, capsys, monkeypatch):
    made = []

    def measured(sampler, about):
        made.append(about)
        import numpy as np

        return Truth(about, np.zeros(2**15), np.zeros(2**15))

    monkeypatch.setattr(truth, "measure_truth", measured)
    monkeypatch.setattr(
        truth,
        "measure_harms",
        lambda lab, blocks, removals, journal, progress: journal.append(
            [Measured(frozenset({1}), MeasuredHarm(1.0, 0.0, 2.0))]
        ),
    )
    assert isinstance(Lab, type)
    assert isinstance(Blocks, type)
    options = ["--errors", str(tmp_path / "t.safetensors"), "--harms", str(tmp_path / "h.jsonl")]
    assert main(["truth", "flux-tiny", *options, "--take-prompts", "2", "--harm-prompts", "2"]) == 0
    about = read_truth(tmp_path / "t.safetensors").about
    assert about == made[0]
    assert (len(about.prompts), about.steps, about.of_steps) == (2, (1, 3), 4)
    assert "harms of 1 sets of blocks on 2 prompts" in capsys.readouterr().out
