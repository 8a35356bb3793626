"""The figures of layer analysis: what they say, that nothing overlaps, and that the page stands alone."""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import json
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image
from plotly.offline import get_plotlyjs

from harness.analysis.profile import Profile, Stream, Velocity
from harness.errors import HarnessError
from harness.report.figures import PAGE, sheets, write_all
from harness.report.figures.curves import predictors, vitality
from harness.report.figures.html import page
from harness.report.figures.html_traces import interactive, packed
from harness.report.figures.interaction import interaction
from harness.report.figures.layout import SIZE, lay_out, shown_ticks
from harness.report.figures.png import DPI, _own_style, draw, png
from harness.report.figures.sheet import Heat, Scale, bin_names, block_axis, span, state_axis
from harness.report.figures.similarity import similarity, similarity_bins
from harness.report.figures.style import MISSING
from harness.report.figures.timesteps import angles, combined, timesteps, velocity
from harness.results.statistics import Interval, mean_interval

MODELS = {
    "flux-tiny": ({"double": 6, "single": 12}, 4, 8),
    "flux": ({"double": 19, "single": 38}, 10, 28),
    "sd3": ({"joint": 24}, 10, 28),
    "aura": ({"double": 4, "single": 32}, 10, 50),
    "deep": ({"transformer": 57}, 3, 4),
}
EMPTY = 1  # the bin that saw no sample


def unpacked(spec):
    """The array of what `packed` wrote."""
    flat = np.frombuffer(base64.b64decode(spec["bdata"]), dtype="<f4").astype(np.float64)
    return flat.reshape([int(n) for n in spec["shape"].split(",")]) if "shape" in spec else flat


def stream(stack, name, length, bins, rng):
    states = length + 1 - (name == "text" and stack == "joint")
    walk = np.cumsum(rng.normal(size=(bins, states, 16)), axis=1)
    unit = walk / np.linalg.norm(walk, axis=-1, keepdims=True)
    centred = unit @ unit.transpose(0, 2, 1)
    angular = np.arccos(np.clip(np.diagonal(centred, offset=1, axis1=1, axis2=2), -1, 1)) / np.pi
    count = np.arange(bins, dtype=float) + 1
    cosine = 1 - (1 - centred) / 20
    for table in (centred, cosine, angular, count):
        table[EMPTY] = 0 if table is count else np.nan
    draws = np.repeat(np.nanmean(centred, axis=0)[None], 2, axis=0)
    angles_drawn = np.repeat(np.nanmean(angular, axis=0)[None], 2, axis=0)
    return Stream(stack, name, count, cosine, centred, centred, angular, angular, draws, angles_drawn)


def given_of(name, setting="trajectory", prompts=8):
    """What `write_all` takes, of the shapes of a model."""
    lengths, bins, steps = MODELS[name]
    rng = np.random.default_rng(3)
    streams = tuple(stream(s, n, length, bins, rng) for s, length in lengths.items() for n in ("image", "text"))
    profile = Profile(name, setting, prompts, np.linspace(0, 1, bins + 1), lengths, streams)
    levels = np.linspace(1, 1 / steps, steps)
    harm = {s: rng.normal(size=(n, prompts)) * 0.3 + rng.pareto(2, size=(n, 1)) for s, n in lengths.items()}
    tables = {s: rng.normal(size=(n, n)) for s, n in lengths.items()}
    for table in tables.values():
        np.copyto(table, table + table.T)
        np.fill_diagonal(table, np.nan)
    return {
        "trajectory": profile,
        "velocities": {
            s: Velocity(name, s, levels, 10 ** rng.normal(-2, 0.5, size=(prompts, steps, n)))
            for s, n in lengths.items()
        },
        "groups": {s: (0, 1, n - 2) for s, n in lengths.items()},
        "harm": harm,
        "vitality": {s: rng.random(n) for s, n in lengths.items()},
        "interactions": {s: (t, np.abs(t) > 2.5) for s, t in tables.items()},
        "predictors": {
            s: {f"measure {i}": (h.mean(axis=1) ** (i + 1), Interval(0.5, 0.1, 0.8)) for i in range(4)}
            for s, h in harm.items()
        },
    }


def sheets_of(name):
    found = given_of(name)
    return sheets(name, profiles=[found.pop("trajectory")], **found)


def near(a, b):
    """Equal to single precision, NaN where NaN."""
    np.testing.assert_allclose(a, b, rtol=2e-7, atol=1e-7)


class Found(HTMLParser):
    """Addresses, elements and the figures' texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.tags, self.texts, self.open = [], [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.addresses += [v for k, v in found.items() if k in {"src", "href", "data", "action", "srcset"}]
        self.open = found.get("id") or found.get("type") or tag

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open, []).append(data)


@pytest.fixture(scope="module")
def tiny_page():
    made = sheets_of("flux-tiny")
    text = page("flux-tiny: layer analysis", made)
    return made, text, Found(text)


# What they say


def traces(sheet):
    return interactive(sheet)["data"]


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


@given(st.integers(3, 60), st.data())
def test_groups_are_cut_off_before_their_first_block(length, data):
    k = data.draw(st.integers(1, length - 1))
    cells = block_axis("block", length, (0, k))
    (cut,) = cells.cuts
    assert cells.ticks[int(cut + 0.5)] == str(k)
    states = state_axis("state", length + 1, (0, k))
    (cut,) = states.cuts
    assert states.ticks[int(cut + 0.5)] == str(k)
    assert states.names[int(cut - 0.5)] == f"after block {k - 1}"


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


def test_vitality_has_harm_with_its_interval_over_drift():
    found = given_of("flux-tiny")
    harm, drift = found["harm"], found["vitality"]
    data = traces(vitality("flux-tiny", harm, drift, {}))
    assert [t["type"] for t in data] == ["scatter", "scatter", "bar", "bar"]
    intervals = [mean_interval(row) for row in harm["single"]]
    near(unpacked(data[1]["y"]), [i.value for i in intervals])
    near(unpacked(data[1]["customdata"]), [[i.low, i.high] for i in intervals])
    near(unpacked(data[1]["error_y"]["array"]), [i.high - i.value for i in intervals])
    near(unpacked(data[3]["y"]), drift["single"])


def test_one_prompt_has_no_interval():
    harm = {"double": np.array([[0.3], [0.1]])}
    sheet = vitality("m", harm, {}, {})
    assert "no interval from one prompt" in sheet.caption
    assert "error_y" not in traces(sheet)[0]
    assert png(sheet)


def test_an_interaction_counts_pairs_once_symmetric_or_half():
    table, beyond = given_of("flux-tiny")["interactions"]["single"]
    symmetric = interaction("flux-tiny", "single", table, beyond)
    upper = np.triu(np.ones_like(beyond), k=1)
    half = interaction("flux-tiny", "single", np.where(upper, table, np.nan), beyond)
    assert f"{(beyond & upper).sum()} of 66 pairs" in symmetric.caption
    assert symmetric.caption == half.caption
    heat, marks = traces(symmetric)
    near(unpacked(heat["z"]), table)
    assert heat["zmin"] == -heat["zmax"] == -np.nanmax(np.abs(table))
    names = heat["x"]
    marked = {(names.index(y), names.index(x)) for x, y in zip(marks["x"], marks["y"], strict=True)}
    assert marked == set(zip(*(i.tolist() for i in np.nonzero(beyond)), strict=True))
    with pytest.raises(ValueError, match=r"two square tables, got \(3, 4\)"):
        interaction("m", "s", np.zeros((3, 4)), np.zeros((3, 4), dtype=bool))


def test_predictors_name_the_correlation_and_the_points():
    found = given_of("flux-tiny")
    data = traces(predictors("flux-tiny", "double", found["predictors"]["double"], found["harm"]["double"]))
    near(unpacked(data[0]["y"]), found["harm"]["double"].mean(axis=1))
    near(unpacked(data[1]["x"]), found["predictors"]["double"]["measure 1"][0])
    assert data[1]["text"][2] == "block 2"
    sheet = predictors("m", "s", {"a": (np.arange(4.0), Interval(0.5, 0.1, 0.8))}, np.ones((4, 2)))
    assert sheet.rows[0].panels[0].title == "a\n\u03c1 = 0.50 [0.10, 0.80]"
    with pytest.raises(ValueError, match="a of stack 's' has 4 blocks, its harm 5"):
        predictors("m", "s", {"a": (np.arange(4.0), Interval(0, 0, 0))}, np.ones((5, 2)))


def test_a_block_without_a_measure_is_left_out_of_the_plot():
    values = np.array([0.1, 0.2, 0.9, np.nan])  # SD3's last block gives no text
    sheet = predictors("m", "s", {"a": (values, Interval(0.5, 0.1, 0.8))}, np.arange(8.0).reshape(4, 2))
    near(unpacked(traces(sheet)[0]["x"]), values)
    axes = draw(lay_out(sheet)).axes[0]
    assert {text.get_text() for text in axes.texts} == {"0", "1", "2"}


# Scales and ticks


@given(
    st.floats(1e-9, 1e3),
    st.floats(1.01, 1e6),
    st.sampled_from(["linear", "log1p", "log"]),
)
def test_ticks_lie_in_their_scale_and_colours_keep_the_order(low, factor, kind):
    scale = Scale("", low, low * factor, kind)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(low * (1 - 1e-6) - 1e-10 <= t <= low * factor * (1 + 1e-6) + 1e-10 for t in ticks)
    places = scale.place(np.linspace(low, low * factor, 9))
    assert (np.diff(places) > 0).all()


def test_a_diverging_scale_is_centred_at_zero():
    scale = span([[0.2, np.nan], [-0.7, 0.1]], "x", "diverging")
    assert (scale.low, scale.high) == (-0.7, 0.7)


def test_scales_of_nothing_and_of_one_value_can_be_drawn():
    for kind in ("linear", "log1p", "log", "diverging"):
        for values in ([np.nan], [0.0, 0.0], [0.3]):
            scale = span(values, "x", kind)
            assert scale.low < scale.high
            assert scale.ticks()


@given(st.integers(1, 120), st.floats(0.8, 8.0), st.booleans())
def test_ticks_never_overlap(count, length, upright):
    axis = block_axis("block", count)
    kept = shown_ticks(axis, length, upright=upright)
    assert kept[0] == 0
    assert len(kept) == len(set(kept))
    for a, b in itertools.pairwise(kept):
        width = 0.125 if upright else 0.08 * max(len(axis.ticks[a]), len(axis.ticks[b]))
        assert (b - a) * length / count >= width


@pytest.mark.parametrize(
    ("edges", "first"), [([0, 0.25, 1], "0.00-0.25"), ([0, 0.1, 1], "0.0-0.1"), ([0, 1], "0.0-1.0")]
)
def test_bins_are_named_with_as_many_digits_as_they_need(edges, first):
    assert bin_names(edges)[0] == first


# The pictures


@pytest.fixture
def drawn(monkeypatch):
    """The texts that a canvas really draws, with their boxes: an axis has others, out of view."""
    found = []
    plain = Text.draw

    def noted(self, renderer, *rest, **named):
        if self.get_visible() and self.get_text().strip():
            assert self.get_fontsize() >= SIZE
            found.append((self.get_text(), self.get_window_extent(renderer)))
        plain(self, renderer, *rest, **named)

    monkeypatch.setattr(Text, "draw", noted)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_no_text_overlaps_or_leaves_the_picture_and_none_is_small(name, drawn):
    for sheet in sheets_of(name):
        drawn.clear()
        with _own_style():
            figure = draw(lay_out(sheet))
            figure.canvas.draw()
        whole = figure.bbox
        assert len(drawn) > 10
        for words, box in drawn:
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, (sheet.name, words)
            assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, (sheet.name, words)
        for (a, one), (b, other) in itertools.combinations(drawn, 2):
            apart = one.x1 <= other.x0 + 1 or other.x1 <= one.x0 + 1 or one.y1 <= other.y0 + 1
            assert apart or other.y1 <= one.y0 + 1, (sheet.name, a, b)


def pixels(sheet):
    return np.asarray(Image.open(io.BytesIO(png(sheet))).convert("RGB"))


def at(table, place, x, y):
    """The pixel at a share of a panel's width and height."""
    left = place.rect.left + x * place.rect.width
    return tuple(table[round((place.rect.top + y * place.rect.height) * DPI), round(left * DPI)])


def test_missing_cells_are_grey_stacks_are_apart_and_the_ground_is_white():
    sheet = timesteps(given_of("flux-tiny")["trajectory"], "image", {})
    table = pixels(sheet)
    layout = lay_out(sheet)
    double, single = layout.places[:2]
    grey = tuple(int(MISSING[i : i + 2], 16) for i in (1, 3, 5))
    # Bin 1 of 4 is the third row from the top.
    assert at(table, double, 0.25, 0.625) == at(table, single, 0.71, 0.625) == grey
    assert at(table, double, 0.25, 0.375) != grey
    ends = double.rect.left + double.rect.width
    gap = single.rect.left - ends
    assert gap > 0.2
    middle = table[round((double.rect.top + 0.1) * DPI) : round((double.rect.top + 1.6) * DPI), :]
    assert (middle[:, round((ends + gap / 2) * DPI)] == 255).all()
    assert (table[0] == 255).all()
    assert (table[:, 0] == 255).all()
    assert table.shape[1] == 1440


def test_the_largest_value_has_the_last_colour():
    profile = given_of("flux-tiny")["trajectory"]
    sheet = timesteps(profile, "image", {})
    double, single = lay_out(sheet).places[:2]
    tables = [profile.stream(s, "image").angular for s in ("double", "single")]
    which = int(np.nanmax(tables[1]) > np.nanmax(tables[0]))
    row, column = np.unravel_index(np.nanargmax(tables[which]), tables[which].shape)
    rows, columns = tables[which].shape
    colour = at(pixels(sheet), (double, single)[which], (column + 0.5) / columns, 1 - (row + 0.5) / rows)
    assert colour == mpl.colormaps["viridis"](1.0, bytes=True)[:3]


def test_a_png_has_the_same_bytes_whatever_the_users_style():
    sheet = sheets_of("flux-tiny")[0]
    first = png(sheet)
    with mpl.rc_context(
        {"font.size": 20, "axes.facecolor": "red", "figure.facecolor": "black", "image.origin": "lower"}
    ):
        before = mpl.rcParams["font.size"]
        assert png(sheet) == first
        assert mpl.rcParams["font.size"] == before
    assert Image.open(io.BytesIO(first)).text == {}  # no date, no version


# The page


def test_the_page_fetches_nothing(tiny_page):
    _, text, found = tiny_page
    assert all(address.startswith("#") for address in found.addresses)
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(found.tags)
    assert "default-src 'none'" in text
    for spec in figures(found):
        said = json.dumps(spec)
        assert "http" not in said
        assert "//" not in json.dumps([spec["layout"], spec["config"]])
        assert spec["config"]["showSendToCloud"] is False
    visible = text.replace("".join(found.texts["plotly"]), "")
    assert "http:" not in visible
    assert "https:" not in visible


def figures(found):
    return [json.loads(text) for text in found.texts["application/json"]]


def test_the_page_holds_plotly_once_and_whole(tiny_page):
    _, text, found = tiny_page
    (library,) = found.texts["plotly"]
    assert gzip.decompress(base64.b64decode(library)).decode() == get_plotlyjs()
    assert text.count(library[:2000]) == 1
    assert len(text) < 3e6


def test_every_figure_fits_plotlys_schema_and_stands_under_its_heading(tiny_page):
    made, text, found = tiny_page
    specs = figures(found)
    assert len(specs) == len(made)
    for sheet, spec in zip(made, specs, strict=True):
        assert sheet.title in text
        assert f'id="{sheet.name}"' in text
        go.Figure({"data": spec["data"], "layout": spec["layout"]})
    headings = list(dict.fromkeys(sheet.section for sheet in made))
    places = [text.index(f"<h2>{heading}</h2>") for heading in headings]
    assert places == sorted(places)


def test_hovering_names_block_bin_and_value(tiny_page):
    made, _, found = tiny_page
    specs = {sheet.name: spec for sheet, spec in zip(made, figures(found), strict=True)}
    one = specs["timesteps-image"]["data"][1]
    assert one["hovertemplate"] == "%{y}<br>%{x}<br>angular distance %{z:.4g}<extra></extra>"
    assert (one["x"][3], one["y"][2]) == ("single block 3", "noise 0.50-0.75")
    log = specs["velocity"]["data"][0]
    assert log["hovertemplate"] == "%{y}<br>%{x}<br>relative error %{customdata:.4g}<extra></extra>"
    assert (log["x"][5], log["y"][1]) == ("double block 5", "step 1 (noise 0.88)")
    slid = specs["similarity-double-text"]["data"][2]
    assert slid["hovertemplate"].startswith("noise 0.50-0.75<br>%{y}<br>%{x}<br>cosine")
    assert slid["x"][:2] == ["what enters", "after block 0"]
    assert specs["vitality"]["data"][0]["hovertemplate"].startswith("%{x}<br>harm %{y:.4g}")
    # A tick exactly at its cell would put its short text in the place of the cell's name.
    for name, axis in specs["timesteps-image"]["layout"].items():
        if name.startswith("xaxis"):
            assert all(value % 1 for value in axis["tickvals"])


def test_what_a_name_holds_does_not_become_part_of_the_page():
    sheet = interaction("</script><b>&", "s</script>", np.eye(3), np.eye(3) > 2)
    text = page("</title>", [sheet])
    assert text.count("</script>") == 3
    assert "<b>&" not in text
    assert json.loads(Found(text).texts["application/json"][0])["data"][0]["x"][0] == "s</script> block 0"


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_arrays_come_back_as_they_were(rows):
    table = np.array(rows)
    table[0, 0] = np.nan
    np.testing.assert_array_equal(unpacked(packed(table)), table)
    np.testing.assert_array_equal(unpacked(packed(table[0])), table[0])


# All of them


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


def test_the_panels_are_light_and_pyplot_is_never_loaded(tmp_path):
    code = (
        "import sys, numpy, pathlib, harness.report.figures as f\n"
        "heavy = {'matplotlib', 'plotly', 'torch', 'diffusers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        f"f.write_all(pathlib.Path({str(tmp_path)!r}), 'm', harm={{'double': numpy.zeros((2, 3))}})\n"
        "print(sorted({'matplotlib.pyplot', 'plotly.graph_objects', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_panels_of_a_heat_map_have_the_shape_of_their_axes():
    for sheet in sheets_of("sd3"):
        for panel in (p for row in sheet.rows for p in row.panels if isinstance(p, Heat)):
            assert panel.values.shape == (len(panel.y.ticks), len(panel.x.ticks))
