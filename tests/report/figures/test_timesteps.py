"""Figures over timesteps: angular distances and velocity."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.profile import Velocity
from harness.report.figures.png import png
from harness.report.figures.timesteps import angles, combined, timesteps, velocity
from tests.helpers.analyses import given_of, near, traces, unpacked


def test_timesteps_are_the_angular_distances_of_both_stacks_three_times():
    profile = given_of("flux-tiny")["trajectory"]
    found = traces(timesteps(profile, "image", {}))
    double, single = (profile.stream(s, "image").angular for s in ("double", "single"))
    for linear, log, clipped, table in zip(found[0:2], found[2:4], found[4:6], (double, single), strict=True):
        near(unpacked(linear["z"]), table)
        near(unpacked(clipped["z"]), table)
        near(unpacked(log["z"]), np.log1p(table))
        near(unpacked(log["customdata"]), table)
    everything = np.concatenate([double.ravel(), single.ravel()])
    assert found[4]["zmax"] == found[5]["zmax"] == pytest.approx(np.nanpercentile(everything, 95))
    assert found[0]["zmax"] == found[1]["zmax"] == np.nanmax(everything)


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
