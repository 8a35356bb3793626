"""The figures of a run are drawn from its ranking, and cost it nothing where they can't be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.errors import HarnessError
from harness.report import ranking_figures
from harness.report.figures.layout import lay_out
from harness.report.figures.png import draw, own_style
from harness.report.ranking_figures import blocks_sheet, timed_variants, write_figures
from harness.report.ranking_files import write_ranking
from harness.results.ranking import rank
from tests.helpers.records import latency, quality, skip

RECORDS = [
    *skip("L00", 40.0, 1.2),
    *skip("L02", 0.5, 1.1),
    *skip("L01-02", 2.0, 1.3, theory=1.6),
    *skip("L01", 0.1, 1.05, stack="t"),
    quality("reverse", 0.2),
    latency("reverse", 1.0, theory=1.0),
    quality("swap", 0.3),  # not timed
]


def test_a_point_is_a_timed_variant_with_its_intervals():
    (ranking,) = rank(RECORDS)
    rows = {row.case: row for row in ranking.rows}
    found = {v.name: v for v in timed_variants(ranking)}
    assert set(found) == {"s-L00-skip", "s-L02-skip", "s-L01-02-skip", "t-L01-skip", "s-L01-03-reverse"}
    one, row = found["s-L02-skip"], rows["m-s-L02-skip"]
    assert one.harm == (0.5, row.points_low, row.points_high)
    assert one.speed_up == pytest.approx((1.1, 1.09, 1.11))
    assert {v.name: v.front for v in found.values()} == {
        v.name: rows["m-" + _case(v.name)].pareto for v in found.values()
    }


def _case(name):
    return "s-reverse" if name.endswith("reverse") else name


def test_harm_stands_at_its_block_and_the_stacks_share_an_axis():
    sheet = blocks_sheet(rank(RECORDS)[0])
    first, second = sheet.rows[0].panels
    assert (first.x.title, second.x.title) == ("s block", "t block")
    np.testing.assert_array_equal(first.values, [40.0, np.nan, 0.5])  # block 1 was not skipped alone
    np.testing.assert_array_equal(second.values, [np.nan, 0.1])
    assert (first.reach, first.scale) == (second.reach, second.scale)
    with own_style():
        figure = draw(lay_out(sheet))
        figure.canvas.draw()
    for axes, panel in zip(figure.axes, (first, second), strict=True):
        assert axes.get_yscale() == "symlog"
        assert axes.yaxis.get_transform().linthresh == panel.scale.linear
        (points,) = (line for line in axes.lines if line.get_marker() == "o")
        np.testing.assert_array_equal(points.get_ydata(), panel.values)
        (whiskers,) = axes.collections
        known = np.isfinite(panel.values)
        np.testing.assert_allclose(
            [segment[:, 1] for segment in whiskers.get_segments()], np.stack([panel.low, panel.high], axis=1)[known]
        )
    # Half a point can be told from none, beside 40.
    low, small, high = (figure.axes[0].transData.transform((0, y))[1] for y in (0.0, 0.5, 40.0))
    assert small - low > 0.1 * (high - low)


def test_there_is_no_figure_of_what_was_not_done(tmp_path):
    def names(records):
        return [sorted(paths) for paths in write_figures(tmp_path, rank(records))]

    assert names([quality("skip", 0.5)]) == [[]]  # a range, untimed
    assert names(skip("L01", 0.5)) == [["blocks"]]
    assert names([quality("reverse", 0.5), latency("reverse", 1.0)]) == [["pareto"]]
    speed = replace(latency("skip", 1.3), fingerprint=replace(latency("skip", 1.3).fingerprint, judge=""))
    assert names([speed]) == [[]]


def test_a_run_has_both_and_several_checkpoints_have_their_own(tmp_path):
    written = write_ranking(tmp_path, RECORDS)
    assert [path.name for path in written][3:] == ["pareto.png", "blocks.png", "index.html"]
    page = (tmp_path / "ranking.md").read_text()
    assert "(pareto.png)" in page
    assert "(blocks.png)" in page
    first = {name: (tmp_path / name).read_bytes() for name in ("pareto.png", "blocks.png")}
    write_ranking(tmp_path, RECORDS)
    assert {name: (tmp_path / name).read_bytes() for name in first} == first
    assert Image.open(tmp_path / "pareto.png").width == 1440
    other = [replace(r, checkpoint="n", fingerprint=replace(r.fingerprint, checkpoint="n")) for r in RECORDS]
    names = [path.name for path in write_ranking(tmp_path, [*RECORDS, *other])][3:]
    assert names == ["pareto-m.png", "blocks-m.png", "pareto-n.png", "blocks-n.png", "index.html"]
    assert not (tmp_path / "pareto.png").exists()  # of the run when it had one checkpoint
    page = (tmp_path / "ranking.md").read_text()
    assert page.index("(pareto-m.png)") < page.index("## n\n") < page.index("(blocks-n.png)")


def test_measured_in_two_ways_each_has_its_own(tmp_path):
    other = [replace(r, fingerprint=replace(r.fingerprint, dtype="bfloat16")) for r in RECORDS]
    rankings = rank([*RECORDS, *other])
    names = [path.name for paths in write_figures(tmp_path, rankings) for path in paths.values()]
    digest = other[0].fingerprint.digest
    assert names == ["pareto-m.png", "blocks-m.png", f"pareto-m-{digest}.png", f"blocks-m-{digest}.png"]


def test_what_can_not_be_drawn_or_written_costs_the_others_nothing(tmp_path, monkeypatch):
    (tmp_path / "pareto.png" / "inside").mkdir(parents=True)
    said = []
    written = write_ranking(tmp_path, RECORDS, said.append)
    assert [path.name for path in written] == ["ranking.md", "ranking.csv", "ranking.json", "blocks.png", "index.html"]
    assert len(said) == 1
    assert said[0].startswith(f"can't write {tmp_path}/pareto.png: ")
    assert "pareto.png" not in (tmp_path / "ranking.md").read_text()
    with pytest.raises(HarnessError, match=r"can't write .*pareto\.png"):
        write_ranking(tmp_path, RECORDS)

    def broken(ranking):
        raise ZeroDivisionError("no font")

    monkeypatch.setitem(ranking_figures._DRAWN, "blocks", broken)
    said.clear()
    assert len(write_ranking(tmp_path, RECORDS, said.append)) == 4
    assert said[1] == f"can't draw {tmp_path}/blocks.png: no font"


@pytest.mark.parametrize("bad", ["<b>$\\frac{1}{0}$", "x/../../escape", "a\nb\x1b[31m", "\u202e" * 300])
def test_a_foreign_journal_is_drawn_as_text_and_inside_its_folder(tmp_path, bad):
    run = tmp_path / "run"
    for names in ({"checkpoint": bad}, {"stack": bad}, {"strategy": bad}):
        said = []
        write_ranking(run, [replace(r, **names) for r in RECORDS], said.append)
        write_ranking(run, [*RECORDS, *(replace(r, **names) for r in RECORDS)], said.append)
        assert said == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
