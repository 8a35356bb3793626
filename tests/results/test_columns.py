"""Every figure is declared once, and whoever shows, stores or judges figures follows the declaration."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.ablation.plan import parse
from harness.gates import comparison
from harness.gates.baselines import Entry
from harness.gates.tolerances import DEFAULTS, Tolerance, load_tolerances
from harness.gates.validation.faults import FAULTS
from harness.gates.validation.power import Effect, FaultResult
from harness.gates.verdict import compare
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import bundled_names, resolve
from harness.report import power_page
from harness.report.columns_page import columns_markdown, figures_markdown
from harness.report.failure import check_line
from harness.report.ranking_files import write_ranking
from harness.report.ranking_terminal import render
from harness.results import columns, figure_table
from harness.results.chosen_columns import read_columns
from harness.results.figure import HARM_TABLE, Better, Column, Figure, RankedBy
from harness.results.figure_table_extra import ANALYSIS, EXTRA, GRADE, GRADE_LOSS
from harness.results.records import Check, Status
from tests.helpers.records import quality

BASELINES = Path(__file__).parents[2] / "baselines"
SHARPNESS = Figure(
    name="edge_sharpness",
    label="sharp",
    unit="px",
    legend="Sharp is how wide the sharpest edge is.",
    tables=HARM_TABLE,
    form=".1f",
    better=Better.HIGHER,
    gated=True,
    stored=True,
    files=True,
    dropped=1,
)


def test_names_are_unique():
    names = [column.name for column in (*figure_table.COLUMNS, *ANALYSIS)]
    assert len(set(names)) == len(names)
    headings = [column.heading for column in figure_table.COLUMNS if column.tables]
    assert len(set(headings)) == len(headings)
    assert all(headings)


def test_every_gated_figure_is_stored():
    """But those of the control, of which a baseline keeps all."""
    assert {*columns.gated(), *columns.latency_gated()} <= set(columns.stored())
    layers = ("layer_harm", "alpha_drift", "layer_drift")  # of what is taken apart into RGBA layers alone
    assert columns.gated() == ("clip_delta", "harm", "latent_drift", *layers, "fid_ratio", "collapsed")
    assert columns.control_gated() == ("score", "first_score", "reseed_latent", "fid_null", "collapsed")
    compared = ["harm", "latent_drift", *layers, "fid_ratio", "collapsed"]
    assert [f.name for f in columns.compared(control=False)] == compared


def test_every_gated_figure_has_a_better_side():
    gated = {*columns.gated(), *columns.control_gated(), *columns.latency_gated()} - {"reseed_latent", "fid_null"}
    assert all(columns.figure(name).better is not None for name in gated)
    assert columns.higher_is_better("score")
    assert columns.higher_is_better("pickscore.delta")
    assert not any(map(columns.higher_is_better, ("harm", "lpips.drift", "nobody knows")))


@pytest.mark.parametrize("column", [*figure_table.COLUMNS, *ANALYSIS], ids=lambda c: c.name)
def test_legends_are_plain_sentences(column: Column):
    check_legend(column.legend)


@pytest.mark.parametrize("column", [*EXTRA, GRADE, GRADE_LOSS], ids=lambda c: f"extra.{c.name}")
def test_legends_of_extra_metrics_are_plain_sentences(column: Column):
    check_legend(column.legend)


def check_legend(legend: str):
    assert re.fullmatch(r"[A-Z`].{20,}[^.]\.", legend)
    assert legend.split(maxsplit=1)[0].strip("`").casefold() != "it"
    assert re.search(r"\b(is|are|holds|counts|lists|named)\b", legend)
    assert legend.count("(") == legend.count(")")
    assert legend.count("`") % 2 == 0
    assert "  " not in legend


def test_what_the_bundled_models_measure_is_declared():
    checkpoint = resolve("flux-tiny")
    lab = Lab(checkpoint, prompts=Lab(checkpoint).prompts[:4])
    measured = lab.run(parse("0 4"), "double").measurement
    for name in (*measured.summary, *lab.control_measurement().summary):
        assert name in {f.name for f in columns.figures()}, name


@pytest.mark.parametrize("name", bundled_names())
def test_what_baselines_hold_is_declared(name):
    stored = json.loads((BASELINES / name / "cpu-float32.json").read_text())
    declared = {f.name for f in columns.figures()}
    assert set(stored["control"]) <= declared
    assert {metric for case in stored["cases"].values() for metric in case} <= set(columns.stored())
    analysis = json.loads((BASELINES / name / "analysis" / "cpu-float32.json").read_text())
    assert {metric for case in analysis["cases"].values() for metric in case} <= {f.name for f in ANALYSIS}


@pytest.mark.parametrize("path", [BASELINES / "tolerances.toml", DEFAULTS], ids=["stored", "shipped"])
def test_tolerances_are_of_what_is_declared_as_gated(path):
    gated = {*columns.gated(), *columns.control_gated(), *columns.latency_gated(), *(f.name for f in ANALYSIS)}
    assert {tolerance.metric for tolerance in load_tolerances(path)} == gated


def test_the_shipped_tolerances_are_those_of_this_repository():
    assert (BASELINES / "tolerances.toml").read_bytes() == DEFAULTS.read_bytes()


def test_extra_metrics_have_their_figures_by_what_follows_the_dot():
    drift = columns.figure("lpips.drift")
    assert (drift.name, drift.heading, drift.better) == ("lpips.drift", "lpips drift", Better.LOWER)
    assert columns.figure("my.own.fid_ratio").heading == "my.own FID/null"
    assert columns.figure("tones.blue_loss").heading == "tones blue"
    assert columns.figure("tones.blue").tables == frozenset()
    assert columns.figure("drift") is columns.extra("drift") is None


def test_a_table_is_as_declared():
    by_harm, by_speed = (columns.table(by) for by in RankedBy)
    assert " | ".join(c.heading for c in by_harm if not c.optional) == (
        "# | tier | variant | plan | harm [points] | harm [sd] | lost % | worst tenth [points] | coll. | speed-up "
        "| theory | image | CLIP | drift | checker | FID/null | gate"
    )
    assert " | ".join(c.heading for c in by_speed) == (
        "# | variant | plan | speed-up | theory | memory | output drift | surgery | gate"
    )
    assert " | ".join(c.heading for c in columns.strategy_table()) == (
        "stack | range | strategy | cases | harm [points] | harm [sd] | speed-up"
    )


def test_the_short_table_has_few_of_them():
    assert " | ".join(c.heading for c in columns.headline()) == (
        "# | variant | harm [points] | speed-up | CLIP | drift | gate"
    )
    assert all(len(c.brief) < 120 and not c.brief.endswith(".") for c in columns.headline())


def test_only_a_ranking_s_own_fields_are_kept_out_of_a_row_s_summary():
    summary = {"mmd": 1.0, "harm": 2.0, "seed_sd": 3.0, "clip_delta": 4.0, "a.drift": 5.0}
    assert columns.in_files(summary) == ("clip_delta", "harm", "mmd", "a.drift")


# --- a figure that is added to the table ---


@pytest.fixture
def added(monkeypatch):
    """One more figure, declared as the others are."""
    monkeypatch.setattr(figure_table, "COLUMNS", (*figure_table.COLUMNS[:-1], SHARPNESS, figure_table.COLUMNS[-1]))


def sharp(value, name="skip", harm=0.5):
    record = quality(name, harm)
    summary = {**record.measurement.summary, SHARPNESS.name: value}
    return replace(record, measurement=replace(record.measurement, summary=summary))


@pytest.mark.usefixtures("added")
def test_an_added_figure_is_in_every_report(tmp_path):
    records = [sharp(3.14159), sharp(2.0, "reverse", 0.9)]
    terminal = render(records, 200, colour=False, asked=["edge_sharpness"])
    assert "sharp [px]" in terminal
    assert " 3.1 " in terminal
    assert read_columns(["sharp", "edge-sharpness"]) == ("edge_sharpness",)
    write_ranking(tmp_path, records)
    markdown = (tmp_path / "ranking.md").read_text()
    assert "| FID/null | sharp [px] | gate |" in markdown
    assert "| - | 3.1 | ok |" in markdown
    assert f"- {SHARPNESS.legend}\n" in markdown
    rows = list(csv.DictReader((tmp_path / "ranking.csv").open()))
    assert [row["edge_sharpness"] for row in rows] == ["3.14159", "2"]
    assert json.loads((tmp_path / "ranking.json").read_text())[0]["rows"][0]["edge_sharpness"] == 3.14159
    assert "| sharp [px] | Sharp is how" in columns_markdown()
    assert "| `edge_sharpness` | sharp [px] |" in figures_markdown()


@pytest.mark.usefixtures("added")
def test_an_added_figure_is_judged_stored_and_compared():
    tolerances = [Tolerance("*", "edge_sharpness", 0.1, 0.0, "t")]
    stored = {"edge_sharpness": Entry(3.0, 16)}
    assert "edge_sharpness" in columns.stored()
    assert "edge_sharpness" in columns.can_be_gated_names()
    for value, status in ((2.0, Status.REGRESSION), (4.0, Status.STALE), (3.05, Status.OK)):
        assert compare("m-s-skip", {"edge_sharpness": value}, stored, tolerances).status is status
    (found,) = comparison.compare([sharp(3.0)], [sharp(2.0)], tolerances)
    assert {c.metric: c.difference.value for c in found.changes}["edge_sharpness"] == -1
    checks = compare("m-s-skip", {"edge_sharpness": 2.0}, stored, tolerances).checks
    tested = FaultResult(FAULTS[0], (Effect(FAULTS[0].name, "m-s-skip", checks, checks),))
    assert "| cases red | by sharp | weakest |" in power_page.markdown({"m": [tested]}, {"m": []})


@pytest.mark.usefixtures("added")
def test_an_added_figure_is_in_the_failure():
    regression = Check("edge_sharpness", 2.0, 3.0, 0.1, Status.REGRESSION, "t")
    assert check_line(regression) == "edge sharpness  2        px  baseline 3        limit 2.9 (-0.1, t)"
    stale = check_line(replace(regression, value=4.0, status=Status.STALE))
    assert "limit 3.1 (+0.1, t)  better than it was" in stale


@pytest.mark.usefixtures("added")
def test_an_added_figure_that_nobody_measured_is_a_dash(tmp_path):
    write_ranking(tmp_path, [quality("skip", 0.5)])
    assert "| - | - | ok |" in (tmp_path / "ranking.md").read_text()
    assert "edge_sharpness" not in (tmp_path / "ranking.csv").read_text()
