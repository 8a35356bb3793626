"""Tiles, captions and files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from harness.errors import HarnessError
from harness.report.tiles import font, save_png, tile, wrapped


def test_a_small_image_is_enlarged_without_smoothing():
    image = np.zeros((3, 2, 2), np.uint8)
    image[0, 0, 1] = 200
    big = np.asarray(tile(image, 8, 8))
    assert set(np.unique(big)) == {0, 200}
    assert (big[:4, 4:, 0] == 200).all()
    assert tile(np.zeros((3, 64, 32), np.uint8), 16, 32).size == (16, 32)


@pytest.mark.parametrize("text", ["a large solid red circle left of a blue square", "x" * 300, "日本 " * 60, ""])
def test_captions_fit(text):
    small = font(10)
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    lines = wrapped(text, small, 78, 4)
    assert len(lines) <= 4
    assert all(draw.textlength(line, font=small) <= 78 for line in lines)
    assert "".join(lines).endswith("...") == (len(text) > 60)
    if not "".join(lines).endswith("..."):
        assert " ".join(lines) == text


def test_control_characters_are_spelled_out():
    assert wrapped("a\x1b[31m", font(13), 500, 1) == ["a\\x1b[31m"]


def test_a_picture_keeps_texts_and_is_written_whole_or_not_at_all(tmp_path):
    save_png(Image.new("RGB", (2, 2)), tmp_path / "a.png", {"prompts": "größer"})
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["prompts"] == "größer"
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(HarnessError, match="can't write"):
        save_png(Image.new("RGB", (2, 2)), tmp_path / "folder.png")
