"""``python -m harness calibrate``: from the folders of a calibrated run to lines for tolerances.toml."""

from __future__ import annotations

import pytest

from harness.cli.main import main
from harness.gates.tolerances import load_tolerances
from harness.results.journal import Journal
from tests.helpers.records import quality

HAND = """
[[tolerance]]
pattern = "*"
metric = "{}"
absolute = 0.01
"""


@pytest.fixture
def folder(tmp_path):
    """A run with two perturbed runs beside it, and tolerances that allow less than they move."""
    (tmp_path / "tolerances.toml").write_text(HAND.format("harm") + HAND.format("clip_delta"))
    for name, shift in (("run", 0.0), ("run.batch-2", 0.05), ("run.ulp-1", -0.02)):
        journal = Journal(tmp_path / name)
        for case in ("skip", "swap"):
            journal.append(quality(case, 1.0 + shift).to_json())
        journal.close()
    return tmp_path


def call(folder, *arguments):
    return main(["calibrate", str(folder / "run"), "--tolerances", str(folder / "tolerances.toml"), *arguments])


def test_lines_to_paste_are_printed_on_request_and_then_allow_the_noise(folder, capsys):
    assert call(folder) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 perturbed runs: batch-2, ulp-1\nm: clip_delta is noisier than tolerances.toml allows, ")
    assert "[[tolerance]]" not in out
    before = (folder / "tolerances.toml").read_text()
    assert call(folder, "--suggest") == 0
    lines = capsys.readouterr().out.partition("\n\n# to paste")[2].partition("\n\n")[2]
    assert (folder / "tolerances.toml").read_text() == before  # nothing is widened by itself
    (folder / "tolerances.toml").write_text(before + lines)
    assert {t.dtype for t in load_tolerances(folder / "tolerances.toml")} == {"*", "float32"}
    assert call(folder, "--suggest") == 0
    assert capsys.readouterr().out.endswith("tolerances.toml allows all of this noise\n")


def test_a_run_without_perturbed_ones_is_one_line(folder, capsys):
    assert main(["calibrate", str(folder / "run.ulp-1")]) == 4
    assert "there is no perturbed run beside" in capsys.readouterr().err
