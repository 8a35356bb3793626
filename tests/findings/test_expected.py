"""Expected verdicts: the files of the repository come back to the byte, and whatever is none is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from harness.errors import BaselineError
from harness.findings.expected import dump, load
from tests.helpers import hostile

STORED = sorted(Path(__file__).parents[2].glob("baselines/*/findings.json"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.parent.name)
def test_every_file_of_the_repository_comes_back_to_the_byte(path):
    stored = load(path.parents[1], path.parent.name)
    assert stored.claims
    assert dump(stored).encode() == path.read_bytes()


def test_a_file_without_a_measurement_comes_back(tmp_path):
    path = tmp_path / "m" / "findings.json"
    path.parent.mkdir()
    path.write_text('{"schema": 1, "checkpoint": "m", "claims": {"B2": "not applicable"}, "measured": {}}')
    stored = load(tmp_path, "m")
    assert stored.measured is None
    assert json.loads(dump(stored)) == json.loads(path.read_text())


@given(hostile.texts(json.loads(STORED[0].read_text())))
def test_any_file_is_read_or_refused_by_name(tmp_path_factory, text):
    checkpoint = STORED[0].parent.name
    folder = tmp_path_factory.mktemp("baselines")
    path = folder / checkpoint / "findings.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    said = str(path)
    try:
        dump(load(folder, checkpoint))
    except BaselineError as error:
        said = str(error)
    assert str(path) in said
