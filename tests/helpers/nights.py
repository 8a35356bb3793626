"""Runs of many nights, made by hand: the same cases every night, with noise, and a step from some night on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.results.journal import write_journal
from harness.results.records import Check, Measurement, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, latency, quality

HARM, SPEED_UP = 2.0, 1.25


def name(night):
    """The run's name: one a day from 1 November 2026, at three in the morning."""
    return f"202611{night + 1:02d}-030000-{night:04x}"


def night_records(rng, *, harm=HARM, ratio=SPEED_UP, noise=0.01, version="0.41.0", status=Status.OK, cases=("skip",)):
    """The control's record, and of each case its images and its timing."""
    fingerprint = replace(FINGERPRINT, versions={"torch": "2.15.0", "diffusers": version})
    scores = Measurement(32, 16, {}, {"seed_sd": 1.0, "score": 60.0})
    records = [Record.of_control(fingerprint, Verdict(Status.OK), scores)]
    for case in cases:
        value = harm + noise * rng.normal()
        record = quality(case, value)
        summary = {**record.measurement.summary, "latent_drift": 0.5}
        verdict = Verdict(status, (Check("harm", value, HARM, 0.0, status, "exact"),))
        records.append(
            replace(
                record,
                fingerprint=fingerprint,
                verdict=verdict,
                measurement=replace(record.measurement, summary=summary),
            )
        )
        records.append(
            replace(latency(case, ratio * float(np.exp(0.02 * rng.normal())), half=0.03), fingerprint=fingerprint)
        )
    return records


def write_nights(folder, count=20, step=12, *, to=3.0, **made):
    """Run folders in ``folder``; from the night of number ``step`` on, harm is ``to`` and diffusers another version."""
    rng = np.random.default_rng(0)
    for night in range(count):
        after = {"harm": to, "version": "0.42.1", "status": Status.REGRESSION} if night >= step else {}
        run = folder / name(night)
        run.mkdir(parents=True)
        write_journal(run, night_records(rng, **{**made, **after}))
    return folder
