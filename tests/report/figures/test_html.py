"""The interactive page stands alone and says what its figures show."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from harness.report.figures.html import page
from harness.report.figures.interaction import interaction
from tests.helpers.analyses import sheets_of


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


def test_the_page_fetches_nothing(tiny_page):
    _, text, found = tiny_page
    assert all(address.startswith("#") or address == "data:," for address in found.addresses)  # that is: no icon
    assert found.tags.count("link") == 1
    assert not {"iframe", "img", "object", "embed", "base"} & set(found.tags)
    assert "default-src 'none'" in text
    for spec in figures(found):
        said = json.dumps(spec)
        assert "http" not in said
        assert "//" not in json.dumps([spec["layout"], spec["config"]])
        assert spec["config"]["showSendToCloud"] is False
    visible = text.replace("".join(found.texts["plotly"]), "").replace('"http://www.w3.org/2000/svg"', "")  # a name
    assert "http:" not in visible
    assert "https:" not in visible


def figures(found):
    return json.loads(found.texts["data"][0])


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
    assert specs["vitality"]["data"][0]["hovertemplate"].startswith("%{x}<br>harm %{customdata[0]:.4g}")
    # A tick exactly at its cell would put its short text in the place of the cell's name.
    for name, axis in specs["timesteps-image"]["layout"].items():
        if name.startswith("xaxis"):
            assert all(value % 1 for value in axis["tickvals"])


def test_what_a_name_holds_does_not_become_part_of_the_page():
    sheet = interaction("</script><b>&", "s</script>", np.eye(3), np.eye(3) > 2)
    text = page("</title>", [sheet])
    assert text.count("</script>") == 3
    assert "<b>&" not in text
    assert json.loads(Found(text).texts["data"][0])[0]["data"][0]["x"][0] == "s</script> block 0"
