"""The picture of a variant's prompts, and the file that it becomes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from harness.ablation.grid import Ask, expand
from harness.lab.cost import cost
from harness.models.spec import FLUX, Settings
from harness.report.prompt_picture import picture_path, save_picture, shown
from harness.report.worst_prompts import PromptHarm

PROMPTS = [PromptHarm(i, harm, f"prompt {i}: " + "word " * i) for i, harm in enumerate((1.0, 9.0, 2.0, 8.0, 7.0), 1)]


def flat(colours, side):
    """Images of one colour each."""
    return np.stack([np.full((3, side, side), colour, np.uint8) for colour in colours])


def draw(folder, side, *, red, control=(10, 20, 30, 40, 50), variant=(110, 120, 130, 140, 150)):
    path = picture_path(folder, "m-s-skip")
    save_picture(path, "m-s-skip", flat(control, side), flat(variant, side), PROMPTS, red=red)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def runs(column):
    """The colours of a column of pixels from top to bottom, but for captions; each with its height."""
    out = []
    for value in column[:, 0]:
        if out and out[-1][0] == value:
            out[-1][1] += 1
        else:
            out.append([int(value), 1])
    return [(value, height) for value, height in out if value != 255 and height > 30]


def test_the_prompts_are_the_worst_and_then_the_first_two():
    assert [p.number for p in shown(PROMPTS)] == [2, 4, 5, 1]  # number 2 is one of the first, too
    assert [p.number for p in shown(PROMPTS[:1])] == [1]


@pytest.mark.parametrize(
    ("side", "red", "tile"),
    [(40, True, 200), (40, False, 200), (300, True, 300), (300, False, 256), (1024, True, 512), (1024, False, 256)],
)
def test_the_control_is_beside_the_variant_at_a_size_that_shows_detail(tmp_path, side, red, tile):
    picture = draw(tmp_path, side, red=red)
    left, right = picture[:, 6 + tile // 2], picture[:, 6 + tile + 6 + tile // 2]
    assert runs(left) == [(20, tile), (40, tile), (50, tile), (10, tile)]
    assert runs(right) == [(120, tile), (140, tile), (150, tile), (110, tile)]


def test_every_prompt_has_its_caption(tmp_path):
    """Dark pixels between the rows of tiles, which are one colour."""
    picture = draw(tmp_path, 300, red=True)
    tiles = [i for i in range(len(picture)) if picture[i, 10, 0] in {10, 20, 40, 50}]
    starts = [i for i in tiles if i - 1 not in tiles]
    ends = [i for i in tiles if i + 1 not in tiles]
    assert len(starts) == 4
    for below, above in zip(ends, [*starts[1:], len(picture)], strict=True):
        assert (picture[below + 1 : above].min(axis=2) < 100).sum() > 100
    assert (picture[: starts[0]].min(axis=2) < 100).any()  # the title


def test_a_wide_image_keeps_its_shape(tmp_path):
    wide = np.zeros((5, 3, 512, 1024), np.uint8)
    save_picture(picture_path(tmp_path, "c"), "c", wide, wide, PROMPTS, red=True)
    with Image.open(picture_path(tmp_path, "c")) as picture:
        assert picture.width == 2 * 512 + 3 * 6
        assert picture.height < 4 * (256 + 100)


@pytest.mark.parametrize("side", [40, 300, 1024])
def test_noise_is_no_larger_on_disk_than_the_estimate(tmp_path, side):
    rng = np.random.default_rng(0)
    control, variant = rng.integers(0, 256, (2, 5, 3, side, side), dtype=np.uint8)
    path = picture_path(tmp_path, "c")
    save_picture(path, "c", control, variant, PROMPTS, red=False)
    (case,) = expand("m", {"double": 5}, [Ask(("double",), ("2",), ("skip",))])
    one, none = (cost({"double": 5}, Settings(height=side, width=side), FLUX, cases, 5).disk for cases in ([case], []))
    assert 10_000 < path.stat().st_size < one - none
