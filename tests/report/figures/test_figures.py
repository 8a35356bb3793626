"""All figures of an analysis, and the folder that they are written into."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.profile import Profile
from harness.errors import HarnessError
from harness.report.figures import PAGE, write_all
from tests.helpers.analyses import given_of


def test_write_all_writes_every_figure_and_one_page(tmp_path):
    found = given_of("flux-tiny")
    written = write_all(tmp_path / "new", "flux-tiny", **found, noised=given_of("flux-tiny", "noised")["trajectory"])
    names = [path.name for path in written]
    assert names[-1] == PAGE
    assert set(names) == {path.name for path in (tmp_path / "new").iterdir()}  # nothing half-written is left
    assert {"similarity-double-image.png", "similarity-single-text-noised.png", "timesteps-combined.png"} < set(names)
    assert {"timesteps-text-noised.png", "velocity.png", "vitality.png", "interaction-double.png"} < set(names)
    assert {"predictors-single.png"} < set(names)
    assert len(names) == 2 * (4 + 3) + 1 + 1 + 2 + 2 + 1
    said = (tmp_path / "new" / PAGE).read_text()
    assert "images noised to uniform levels" in said


def test_what_is_not_given_is_left_out(tmp_path):
    found = given_of("flux-tiny")
    assert write_all(tmp_path, "flux-tiny") == []
    assert list(tmp_path.iterdir()) == []
    written = write_all(tmp_path, "flux-tiny", harm=found["harm"])
    assert [path.name for path in written] == ["vitality.png", PAGE]
    again = written[0].read_bytes(), written[1].read_bytes()
    write_all(tmp_path, "flux-tiny", harm=found["harm"])
    assert (written[0].read_bytes(), written[1].read_bytes()) == again
    with pytest.raises(ValueError, match="predictors of stack 'double' without its harm"):
        write_all(tmp_path, "flux-tiny", predictors=found["predictors"])


def test_bins_are_pictured_on_request(tmp_path):
    profile = given_of("flux-tiny")["trajectory"]
    one = Profile("m", "trajectory", 1, profile.edges, {"double": 6}, profile.streams[:1])
    written = write_all(tmp_path, "m", trajectory=one, bins=True)
    assert "similarity-double-image-centred-bins.png" in [path.name for path in written]


def test_a_folder_that_takes_no_file_is_named(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("here")
    with pytest.raises(HarnessError, match=r"can't write .*vitality\.png"):
        write_all(taken, "m", harm={"double": np.zeros((2, 2))})
