"""Sheets of a variant's images: every image whole, in its place, and no larger than a browser takes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from harness.errors import HarnessError
from harness.report.image_sheet import read_texts, save_image_sheet, save_texts, sheet_columns, sheet_path, texts_path


@pytest.mark.parametrize(("count", "columns"), [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (48, 7), (49, 7), (50, 8)])
def test_tiles_stand_in_a_square(count, columns):
    assert sheet_columns(count) == columns


def test_small_images_keep_every_pixel(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 12, 20), dtype=np.uint8)
    path = sheet_path(tmp_path, "m-s-skip")
    save_image_sheet(images, path)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert pixels.shape == (24, 60, 3)
    for i, image in enumerate(images):
        row, column = divmod(i, 3)
        tile = pixels[12 * row : 12 * row + 12, 20 * column : 20 * column + 20]
        assert (tile == image.transpose(1, 2, 0)).all()


def test_large_images_become_smaller_in_their_own_shape(tmp_path):
    path = tmp_path / "sheet.webp"
    save_image_sheet(np.full((2, 3, 512, 1024), 90, np.uint8), path)
    with Image.open(path) as sheet:
        assert sheet.size == (1024, 256)
        assert abs(int(np.asarray(sheet.convert("RGB")).mean()) - 90) <= 1
    save_image_sheet(np.zeros((200, 3, 300, 300), np.uint8), path)
    with Image.open(path) as sheet:
        assert max(sheet.size) <= 4096


def test_what_can_not_be_written_is_one_error(tmp_path):
    (tmp_path / "images").write_text("")
    with pytest.raises(HarnessError, match="can't write"):
        save_image_sheet(np.zeros((1, 3, 8, 8), np.uint8), sheet_path(tmp_path, "a"))


def test_texts_are_kept_and_a_file_of_anybodys_is_read_as_none(tmp_path):
    path = texts_path(tmp_path, "m")
    assert read_texts(path) == []
    save_texts(["a cat", "line\nbreak"], path)
    assert read_texts(path) == ["a cat", "line\\nbreak"]
    for text in ('{"a": 1}', "[1, 2]", "[", "\x00", '["\\ud800"]'):
        path.write_text(text)
        assert read_texts(path) in ([], ["\\ud800"])
