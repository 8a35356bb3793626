"""Figures of similarity: both cosines, in every bin that saw a sample."""

from __future__ import annotations

import numpy as np

from harness.report.figures.html_traces import interactive
from harness.report.figures.sheet import bin_names
from harness.report.figures.similarity import similarity, similarity_bins
from tests.helpers.analyses import given_of, near, traces, unpacked


def test_similarity_has_both_cosines_in_every_bin_that_saw_a_sample():
    profile = given_of("flux-tiny")["trajectory"]
    one = profile.stream("double", "image")
    found = traces(similarity(profile, one))
    assert [t["name"] for t in found[:4]] == [
        "all noise levels",
        "noise 0.00-0.25",
        "noise 0.50-0.75",
        "noise 0.75-1.00",
    ]
    near(unpacked(found[0]["z"]), one.overall("cosine"))
    near(unpacked(found[2]["z"]), one.cosine[2])
    near(unpacked(found[4]["z"]), one.overall("centred"))
    near(unpacked(found[7]["z"]), one.centred[3])
    assert [t["visible"] for t in found] == [True, False, False, False] * 2
    assert found[4]["zmin"] <= np.nanmin(one.centred)  # one scale for all bins
    assert found[4]["zmax"] == 1


def test_the_slider_shows_one_bin_of_both_panels():
    profile = given_of("flux-tiny")["trajectory"]
    (slider,) = interactive(similarity(profile, profile.streams[0]))["layout"]["sliders"]
    assert slider["steps"][2]["args"] == [{"visible": [False, False, True, False] * 2}]
    assert slider["steps"][2]["label"] == "noise 0.50-0.75"


def test_small_multiples_have_every_bin_on_one_scale():
    profile = given_of("flux")["trajectory"]
    sheet = similarity_bins(profile, profile.streams[0])
    panels = [panel for row in sheet.rows for panel in row.panels]
    assert [p.title for p in panels] == [f"noise {name}" for name in bin_names(profile.edges)]
    assert {p.scale for p in panels} == {panels[0].scale}
    assert "Grey: no value" in sheet.caption
