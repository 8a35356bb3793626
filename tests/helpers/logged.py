"""A run's records, told to a tracker as the plugin tells them."""

from __future__ import annotations

from dataclasses import replace

from harness.loggers.base import Loggers
from harness.results.records import Measurement, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, latency, quality

RUN = "nightly-7"
# What every tracker must hold in the end; the case's name is in one that no tracker takes as it is.
EXPECTED = {
    "score/m-control": 60.0,
    "harm/m-s-skip+x": 0.5,
    "speed_up/m-s-skip+x": 1.25,
    "red": 1.0,
}


def records():
    """The control's, a variant's images and its time, and a red variant."""
    control = Measurement(32, 16, {}, {"seed_sd": 1.0, "score": 60.0, "first_score": float("nan")})
    return [
        Record.of_control(FINGERPRINT, Verdict(Status.OK), control),
        quality("skip+x", 0.5),
        latency("skip+x", 1.25),
        replace(quality("reverse", 3.0), verdict=Verdict(Status.REGRESSION)),
    ]


def log_run(tracker, folder):
    """Tell the tracker all of it, and give it a file; what was said."""
    said = []
    loggers = Loggers([tracker], RUN, folder, said.append)
    for record in records():
        loggers.log(record)
    folder.mkdir(exist_ok=True)
    (folder / "ranking.md").write_text("# Ranking\n")
    loggers.finish([folder / "ranking.md", folder / "not-written.csv"])
    return said
