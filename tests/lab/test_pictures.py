"""Pictures of a folder, and those of the bundled world's sentences."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from harness.errors import DataError, PromptError
from harness.lab.pictures import by_prompt, digest, drawn_pictures, read_pictures
from harness.models.checkpoints.resolve import BUNDLED


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "b.png")
    Image.new("RGBA", (4, 4), (0, 0, 255, 7)).save(tmp_path / "a.webp", lossless=True)
    (tmp_path / "a.txt").write_text("something\n blue\n")
    (tmp_path / "b.txt").write_text("something red")
    (tmp_path / "notes.md").write_text("not an image")
    return tmp_path


def test_a_folder_gives_its_images_by_name_with_their_texts(folder):
    blue, red = read_pictures(folder)
    assert (blue.prompt, red.prompt) == ("something blue", "something red")
    assert (blue.image.mode, blue.image.size, blue.image.getpixel((0, 0))[3]) == ("RGBA", (4, 4), 7)
    assert (red.image.mode, red.image.size, red.image.getpixel((0, 0))) == ("RGBA", (8, 6), (255, 0, 0, 255))


def test_what_is_missing_or_damaged_is_named(folder, tmp_path):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"b\.png: not an image that can be read"):
        read_pictures(folder)
    (folder / "b.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"b\.txt: empty; write down what is on b\.png"):
        read_pictures(folder)
    (folder / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"b\.txt: not readable"):
        read_pictures(folder)
    (folder / "b.txt").unlink()
    with pytest.raises(DataError, match=r"b\.txt: not readable; write down what is on b\.png"):
        read_pictures(folder)
    with pytest.raises(DataError, match="nowhere: no images here"):
        read_pictures(folder / "nowhere")


def test_the_bundled_prompts_are_drawn():
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()
    pictures = drawn_pictures(prompts)
    assert [picture.prompt for picture in pictures] == prompts
    assert {picture.image.mode for picture in pictures} == {"RGBA"}
    red, green = drawn_pictures(
        ["a large solid red circle on a white background", "a large solid green circle on a black background"]
    )
    assert np.asarray(red.image)[20, 20].tolist() == [230, 31, 31, 255]
    assert np.asarray(green.image)[0, 0].tolist() == [8, 8, 8, 255]
    with pytest.raises(PromptError, match="not a caption of the bundled world: 'a dog'; only the bundled"):
        drawn_pictures(["a dog"])


def test_pictures_by_their_texts_are_of_one_size_and_no_text_stands_twice():
    red, blue = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue"))
    known = by_prompt([(red, "red"), (blue.resize((80, 81)), "blue")], 640)  # both 640 x 640 as layers
    assert list(known) == ["red", "blue"]
    assert known["red"].mode == "RGBA"
    with pytest.raises(DataError, match=r"pictures 0 and 2 have the same text, .*: 'red'; write down what tells"):
        by_prompt([(red, "red"), (blue, "blue"), (blue, "red")], 640)
    with pytest.raises(DataError, match=r"of picture 0 are 640 x 640 px, and those of picture 1 896 x 448; cut"):
        by_prompt([(red, "red"), (blue.resize((80, 40)), "blue")], 640)
    with pytest.raises(DataError, match="0 pictures"):
        by_prompt([], 640)
    with pytest.raises(PromptError, match="picture 0 has no description"):
        by_prompt([(red, " ")], 640)


def test_the_digest_is_of_pixels_texts_and_order():
    red, blue = (Image.new("RGBA", (4, 4), colour) for colour in ("red", "blue"))
    several = [{"a": red, "b": blue}, {"b": blue, "a": red}, {"a": blue, "b": red}, {"a": red, "c": blue}]
    assert len({digest(pictures) for pictures in several}) == 4
    assert digest(several[0]) == digest({"a": red.copy(), "b": blue.copy()})
