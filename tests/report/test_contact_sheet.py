"""The contact sheet: prompts' texts, figures, and a head again where it is long."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from harness.report import contact_sheet
from harness.report.contact_sheet import write_sheets
from harness.report.tiles import save_png
from harness.results.ranking import rank
from tests.helpers.records import latency, quality

STRIP = Image.new("RGB", (654, 80), (0, 0, 200))


@pytest.fixture
def drawn(monkeypatch):
    """The texts that are drawn, in order."""
    texts = []

    class Draw(contact_sheet.ImageDraw.ImageDraw):
        def text(self, xy, text, *arguments, **options):
            texts.append(text)
            super().text(xy, text, *arguments, **options)

    monkeypatch.setattr(contact_sheet.ImageDraw, "Draw", Draw)
    return texts


def sheet(folder, records, prompts):
    save_png(STRIP, folder / "images" / "m-control.png", {"prompts": prompts})
    for case in {record.case for record in records}:
        save_png(STRIP, folder / "images" / f"{case}.png")
    (path,) = write_sheets(folder, rank(records))
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_rows_have_harm_and_speed_up_and_columns_their_prompts(tmp_path, drawn):
    records = [quality("a", 0.5), latency("a", 1.234), quality("b", 0.7)]
    sheet(tmp_path, records, json.dumps(["a large red circle", "a small blue square on grey"]))
    assert {"1  s-a", "2  s-b", "harm 0.50 sd   speed-up 1.23*", "harm 0.70 sd"} <= set(drawn)
    assert " ".join(drawn).count("#1 ") == 1
    assert "a large red circle" in " ".join(drawn)
    assert "blue square" in " ".join(drawn)


def test_a_long_sheet_has_its_heads_again(tmp_path):
    records = [quality(f"v{i}", 0.1 * i) for i in range(44)]
    picture = sheet(tmp_path, records, json.dumps(["word " * 9] * 8))
    is_strip = (picture[:, 340] == (0, 0, 200)).all(axis=1)
    starts = np.flatnonzero(is_strip & ~np.roll(is_strip, 1))
    assert len(starts) == 45
    wide = [i for i, gap in enumerate(np.diff(starts), start=1) if gap > 82]
    assert wide == [20, 40]
    assert 82 + 24 < starts[20] - starts[19] < 82 + 80
    assert starts[0] > 22 + 24


@pytest.mark.parametrize("inside", ["", "no json", "{}", "[1, null]", "[" * 100_000, '["\\u001b[31m"]'])
def test_texts_in_a_foreign_strip_harm_nothing(tmp_path, inside, drawn):
    sheet(tmp_path, [quality("a", 0.5)], inside)
    assert all(text.isprintable() for text in drawn)


def test_what_is_not_surely_faster_has_no_star(tmp_path, drawn):
    sheet(tmp_path, [quality("a", 0.5), latency("a", 0.9)], "")
    assert "harm 0.50 sd   speed-up 0.90" in drawn
