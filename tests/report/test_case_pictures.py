"""What a run keeps of a variant's images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from harness.ablation.grid import Ask, expand
from harness.report import case_pictures
from harness.report.case_pictures import keep_pictures
from tests.helpers.records import PROMPTS, quality

MEASURED = quality("skip", 0.5).measurement
TEXTS = [f"prompt {i}" for i in range(1, PROMPTS + 1)]
IMAGES = np.zeros((PROMPTS, 3, 40, 40), np.uint8)
(CASE,) = expand("m", {"s": 5}, [Ask(("s",), ("middle",), ("skip",))])


def keep(folder, images=IMAGES):
    return keep_pictures(folder, CASE, MEASURED, images, lambda: IMAGES, TEXTS, red=True)


def test_a_strip_of_each_the_prompts_that_lost_most_and_all_images(tmp_path):
    assert keep(tmp_path) == ""
    names = {path.name for path in (tmp_path / "images").iterdir()}
    assert names == {
        f"{CASE.id}.png",
        f"{CASE.id}-prompts.png",
        f"{CASE.id}-sheet.webp",
        "m-control.png",
        "m-control-sheet.webp",
        "m-prompts.json",
    }
    with Image.open(tmp_path / "images" / "m-control.png") as strip:
        assert json.loads(strip.info["prompts"]) == TEXTS[:8]


def test_there_are_none_of_a_lab_without_images(tmp_path):
    assert keep(tmp_path, np.zeros((0, 3, 1, 1), np.uint8)) == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError("full"), ValueError("no"), ImportError("no font"), MemoryError()])
def test_a_picture_that_fails_is_a_line_and_never_an_error(tmp_path, monkeypatch, error):
    def broken(*arguments, **options):
        raise error

    monkeypatch.setattr(case_pictures, "save_picture", broken)
    assert keep(tmp_path).startswith(f"can't draw the pictures of {CASE.id}: {type(error).__name__}")
    (tmp_path / "file").write_text("")
    assert keep(tmp_path / "file").startswith("can't write ")
