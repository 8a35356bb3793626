"""What trackers are told, and that none of them can cost the run."""

from __future__ import annotations

import sys
import types

from harness.loggers import table
from harness.loggers.base import Loggers, named_figures, settings_of
from tests.helpers.logged import EXPECTED, records


class Broken:
    """A tracker that fails when it is told a certain case, or at the end."""

    def __init__(self, at):
        self.at, self.figures, self.files = at, [], None

    def log(self, figures, settings):
        print("a greeting")
        if any(self.at in name for name in figures):
            raise ConnectionError("the server is gone\nand more")
        self.figures.append(dict(figures))

    def finish(self, files):
        if self.at == "end":
            raise ConnectionError("the server is gone")
        self.files = files


def opened(monkeypatch, tmp_path, **trackers):
    said = []
    for name, tracker in trackers.items():

        def open_run(run, folder, tracker=tracker):
            if tracker is None:
                raise OSError("no database")
            return tracker

        monkeypatch.setitem(sys.modules, f"fake_{name}", types.SimpleNamespace(open_run=open_run))
        monkeypatch.setitem(table.TRACKERS, name, table.Tracker(name, name, f"fake_{name}"))
    return Loggers(list(trackers), "r", tmp_path, said.append), said


def test_a_tracker_is_told_the_figures_of_each_case_and_the_files_that_there_are(monkeypatch, tmp_path, capsys):
    tracker = Broken("nowhere")
    loggers, said = opened(monkeypatch, tmp_path, mine=tracker)
    for record in records():
        loggers.log(record)
    (tmp_path / "ranking.md").write_text("#")
    loggers.finish([tmp_path / "ranking.md", tmp_path / "ranking.csv"])
    told = {name: value for figures in tracker.figures for name, value in figures.items()}
    assert EXPECTED.items() <= told.items()
    assert "first_score/m-control" not in told  # no number
    assert tracker.files == [tmp_path / "ranking.md"]
    assert said == []
    assert capsys.readouterr().out == ""


def test_the_number_of_red_cases_follows_a_rerun(monkeypatch, tmp_path):
    tracker = Broken("nowhere")
    loggers, _ = opened(monkeypatch, tmp_path, mine=tracker)
    *_, red = records()
    loggers.log(red)
    loggers.log(records()[1])
    loggers.log(type(red)(**{**vars(red), "verdict": records()[0].verdict}))
    assert [figures["red"] for figures in tracker.figures] == [1.0, 1.0, 0.0]


def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(monkeypatch, tmp_path):
    """At its beginning, in the middle and at the end; each says so once."""
    good, middle, end = Broken("nowhere"), Broken("skip+x"), Broken("end")
    loggers, said = opened(monkeypatch, tmp_path, first=None, good=good, middle=middle, end=end)
    for record in records():
        loggers.log(record)
    loggers.finish([])
    assert said == [
        "--dit-log=first: OSError: no database; first gets nothing more of this run",
        "--dit-log=middle: ConnectionError: the server is gone; middle gets nothing more of this run",
        "--dit-log=end: ConnectionError: the server is gone; end gets nothing more of this run",
    ]
    assert len(middle.figures) == 1
    assert len(good.figures) == len(records())
    assert good.files == []


def test_a_timing_and_its_images_are_named_by_figure_and_case():
    control, images, timing, _ = records()
    assert set(named_figures(control)) == {"score/m-control"}
    assert {"harm/m-s-skip+x", "clip_delta/m-s-skip+x", "collapsed/m-s-skip+x"} <= set(named_figures(images))
    assert set(named_figures(timing)) == {"speed_up/m-s-skip+x", "theoretical_speed_up/m-s-skip+x"}
    assert settings_of(images)["m.torch"] == "2.15.0"
    assert settings_of(images)["m.steps"] == "4"
    assert settings_of(images)["m.dtype"] == "float32"
