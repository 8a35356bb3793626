"""Figures over timesteps: angular distances and velocity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.profile import LAST, Profile, Velocity
from harness.report.figures.png import png
from harness.report.figures.timesteps import AngleFigures, angles, combined, timesteps, velocity
from tests.helpers.analyses import given_of, near, traces, unpacked
from tests.helpers.studies import stream
from tests.helpers.study_maps import IMAGE, TEXT


def test_timesteps_are_the_angular_distances_of_both_stacks_three_times():
    profile = given_of("flux-tiny")["trajectory"]
    found = traces(timesteps(profile, "image", {}))
    double, single = (profile.stream(s, "image").angular for s in ("double", "single"))
    for linear, log, clipped, table in zip(found[0:2], found[2:4], found[4:6], (double, single), strict=True):
        near(unpacked(linear["z"]), table)
        near(unpacked(clipped["z"]), table)
        near(unpacked(log["z"]), np.log10(table))
        near(unpacked(log["customdata"]), table)
    everything = np.concatenate([double.ravel(), single.ravel()])
    assert found[4]["zmax"] == found[5]["zmax"] == pytest.approx(np.nanpercentile(everything, 95))
    assert found[0]["zmax"] == found[1]["zmax"] == np.nanmax(everything)


def study():
    """The SD3.5-Large study's figure."""
    streams = (stream("joint", name, angular=table) for name, table in (("image", IMAGE), ("text", TEXT)))
    return Profile("sd3.5-large", "noised", 24, np.linspace(0, 1, 11), {"joint": 38}, tuple(streams))


@pytest.mark.parametrize("name", ["image", "text"])
def test_the_log_panel_shows_the_layers_that_the_linear_one_hides(name):
    """The study's point: log(1 + d) alone is the linear panel again, so its panel has a logarithmic norm, too."""
    linear, log, _ = traces(timesteps(study(), name, {}))

    def median_place(trace):
        values = unpacked(trace["z"])
        return (np.median(values) - trace["zmin"]) / (trace["zmax"] - trace["zmin"])

    table = IMAGE if name == "image" else TEXT
    logged = np.log(np.log1p(table))  # LogNorm of log1p, as its notebook has it
    published = (np.median(logged) - logged.min()) / np.ptp(logged)
    assert median_place(linear) < 0.3
    assert median_place(log) == pytest.approx(published, abs=0.04)
    assert median_place(log) - median_place(linear) > 0.2


def test_the_study_clips_each_stream_before_it_combines_them():
    clipped = [np.minimum(table, np.percentile(table, 95)) for table in (IMAGE, TEXT)]
    published = (clipped[1] + clipped[0][:, :-1]) / 2
    sheet = timesteps(study(), "combined", {}, AngleFigures(LAST, clip_first=True))
    first, _, last = traces(sheet)
    near(unpacked(last["z"]), published)
    assert last["zmax"] == pytest.approx(published.max())
    near(unpacked(first["z"]), (TEXT + IMAGE[:, :-1]) / 2)
    assert sheet.rows[2].title == "mean of both streams, each clipped at its 95th percentile"
    usual = traces(timesteps(study(), "combined", {}))[2]
    near(unpacked(usual["z"]), (TEXT + IMAGE[:, :-1]) / 2)
    assert usual["zmax"] == pytest.approx(np.percentile((TEXT + IMAGE[:, :-1]) / 2, 95))


def test_figures_of_the_last_token_show_the_last_token():
    profile = given_of("sd3")["trajectory"]
    halved = [replace(s, angular_last=s.angular / 2) for s in profile.streams]
    profile = replace(profile, streams=tuple(halved))
    for name in ("image", "text", "combined"):
        near(angles(profile, name, LAST)["joint"], angles(profile, name)["joint"] / 2)
    sheet = timesteps(profile, "image", {}, AngleFigures(LAST))
    near(unpacked(traces(sheet)[0]["z"]), profile.stream("joint", "image").angular / 2)
    assert "of the last token" in sheet.caption
    assert "last token" not in timesteps(profile, "image", {}).caption


def test_combined_is_the_mean_of_both_streams_where_both_are():
    profile = given_of("sd3")["trajectory"]
    image, text = (profile.stream("joint", name).angular for name in ("image", "text"))
    assert (image.shape[1], text.shape[1]) == (24, 23)
    near(angles(profile, "combined")["joint"], (text + image[:, :-1]) / 2)
    near(combined(text, text), text)
    with pytest.raises(ValueError, match="a text stream of 20 distances beside an image stream of 24"):
        combined(image, text[:, :20])


def test_velocity_is_the_mean_over_prompts_on_a_log_scale():
    found = given_of("flux-tiny")["velocities"]
    sheet = velocity(found, {})
    double, single = traces(sheet)
    near(unpacked(double["customdata"]), found["double"].error.mean(axis=0))
    near(unpacked(single["z"]), np.log10(found["single"].error.mean(axis=0)))
    assert double["zmin"] == single["zmin"]
    assert "8 prompts" in sheet.caption
    assert "noise 1.00 in step 0 to 0.12 in step 7" in sheet.caption


def test_a_velocity_without_error_is_drawn():
    none = Velocity("m", "double", np.ones(2), np.zeros((1, 2, 3)))
    sheet = velocity({"double": none}, {})
    assert np.isfinite(unpacked(traces(sheet)[0]["z"])).all()
    assert png(sheet)
