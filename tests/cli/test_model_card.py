"""Model cards: of a model from what was measured, and of the judge, which is measured here on a few layouts."""

from __future__ import annotations

import re
import shutil

from harness.cli.model_card import Report, write_card, write_judge_card
from harness.models.checkpoints.resolve import BUNDLED, resolve

SHARES = {"all right": 0.5, "colour": 0.75}
REPORT = Report(
    layouts=64,
    reconstructions=SHARES,
    pipeline={"all right": 0.25, "colour": 0.5},
    twice_the_steps=SHARES,
    score=95.123,
    seed_sd=1.6,
    mean_noise=0.2,
    skip_middle={"double 1-3": 12.34},
    single_skips={"double 0": 0.19, "double 1": 0.21, "single 0": 3.0},
    parameters={"transformer": 1_234_567},
)


def test_a_models_card_says_what_was_measured(tmp_path):
    folder = shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "mine")
    (folder / "README.md").unlink()
    text = write_card(resolve(str(folder)), REPORT).read_text()
    assert text.startswith("# mine\n")
    assert "- Blocks: 5 double, 10 single; parameters: transformer 1,234,567" in text
    assert "| pipeline, 4 steps | 0.250 | 0.500 |" in text
    assert "| pipeline, 8 steps | 0.500 | 0.750 |" in text
    assert "| double 1-3 | 12.3 |" in text
    assert REPORT.carrying == 2
    assert "2 of 3 single-block skips lose more than that noise:" in text


def test_the_judges_card_is_measured(tmp_path):
    folder = shutil.copytree(BUNDLED / "judge", tmp_path / "judge")
    text = write_judge_card(folder, 64).read_text()
    found = dict(re.findall(r"^\| (score of .*?|right caption .*?) \| ([\d.-]+) \|$", text, re.MULTILINE))
    right, foil, other = (float(value) for name, value in found.items() if name.startswith("score of "))
    assert right > foil > other
    assert float(found["right caption above the one-attribute foil"]) > 0.95
    assert float(found["right caption first of 64"]) > 0.9
