"""The study's measurement as a command: records that read back, a profile that weighs a LoKr, figures; bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from harness.analysis import profile as profiles
from harness.analysis.lokr import angle_records
from harness.analysis.profile import LAST
from harness.cli.main import main
from harness.report.figures.timesteps import AngleFigures


@pytest.fixture
def pictures(tmp_path):
    """Two noise pictures with captions that the tiny models can read."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text("a large solid red circle on a grey background\n")
    return folder


def test_records_profile_and_figures_come_from_one_measurement(pictures, tmp_path, capsys):
    records, profile, figures = tmp_path / "r.jsonl", tmp_path / "p.safetensors", tmp_path / "figures"
    arguments = ["--images", str(pictures), "--levels", "4", "--repeats", "2", "--records", str(records)]
    assert main(["angles", "sd3-tiny", *arguments, "--profile", str(profile), "--figures", str(figures)]) == 0
    found = list(angle_records.read(records))
    assert len(found) == 2 * 4 * 2
    assert {record.shape for record in found} == {(11, 12)}  # the last block gives no text
    assert sorted({record.timestep for record in found}) == [0.0625 + 0.125 * i for i in range(8)]
    # The study's notebook bins timesteps of 0..1; every record is in one of its bins.
    placed = np.digitize([record.timestep for record in found], np.linspace(0, 1, 11)) - 1
    assert sorted(set(placed)) == [0, 1, 3, 4, 5, 6, 8, 9]
    seen = profiles.read(profile)
    # The same numbers by another way: means by bin of the records are the profile's.
    means = angle_records.timestep_means(found, bins=4)
    np.testing.assert_allclose(means.image, seen.stream("joint", "image").angular, atol=1e-9)
    np.testing.assert_allclose(means.text, seen.stream("joint", "text").angular, atol=1e-9)
    assert (figures / "figures.html").exists()
    out = tmp_path / "lycoris.json"
    for source in (["--records", str(records)], ["--profile", str(profile)]):
        assert main(["lokr", *source, "--checkpoint", "sd3-tiny", "--out", str(out)]) == 0
        assert json.loads(out.read_text())["algo"] == "lokr"
    capsys.readouterr()


def test_the_last_token_can_stand_for_all(pictures, tmp_path, capsys):
    for name, more in (("mean", []), ("last", ["--last"])):
        arguments = ["--images", str(pictures), "--levels", "2", "--records", str(tmp_path / name), *more]
        assert main(["angles", "flux-tiny", *arguments]) == 0
    mean, last = (np.array([r.hidden_states for r in angle_records.read(tmp_path / name)]) for name in ("mean", "last"))
    assert mean.shape == last.shape == (4, 15)
    assert np.abs(mean - last).max() > 1e-3
    capsys.readouterr()


def test_as_published_is_the_studys_measure_and_its_figures(pictures, tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr("harness.cli.angles.write_all", lambda *a, **k: drawn.append(k["angles"]) or [])
    shared = ["--images", str(pictures), "--levels", "2"]
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("published", "last")}
    profile = tmp_path / "p.safetensors"
    more = ["--figures", str(tmp_path / "figures"), "--profile", str(profile)]
    assert main(["angles", "sd3-tiny", *shared, "--records", str(paths["published"]), *more, "--as-published"]) == 0
    assert main(["angles", "sd3-tiny", *shared, "--records", str(paths["last"]), "--last"]) == 0
    assert paths["published"].read_text() == paths["last"].read_text()
    assert drawn == [AngleFigures(LAST, clip_first=True)]
    # A profile holds both measures, and a LoKr is weighed by the one that is asked for.
    out = tmp_path / "lycoris.json"
    factors = []
    for source in (
        ["--profile", str(profile), "--last"],
        ["--records", str(paths["last"])],
        ["--profile", str(profile)],
    ):
        arguments = ["lokr", *source, "--checkpoint", "sd3-tiny", "--out", str(out)]
        assert main([*arguments, "--bins", "2"]) == 0
        factors.append(json.loads(out.read_text())["apply_preset"]["name_algo_map"])
    assert factors[0] == factors[1] != factors[2]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to write: give --records FILE"),
        (["--records", "r.jsonl", "--images", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["angles", "sd3-tiny", *arguments]) == 4
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
