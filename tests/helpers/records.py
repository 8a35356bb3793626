"""Records made by hand, for what reads or compares them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.gates.tolerances import Tolerance
from harness.results.fingerprint import Fingerprint
from harness.results.latency import Latency
from harness.results.records import Check, Kind, Measurement, Record, Status, Verdict

FINGERPRINT = Fingerprint(
    checkpoint="m",
    weights="w",
    judge="j",
    prompts="p",
    sampling={"steps": 4, "guidance": 0.0},
    device="cpu",
    dtype="float32",
    capability="AVX512",
    threads=2,
    versions={"torch": "2.15.0"},
)
PROMPTS = 16


def quality(name, harm, *, collapsed=0, stack="s", words=("middle",), spread=0.3, status=Status.OK):
    rng = np.random.default_rng(sum(map(ord, name)))
    values = harm + spread * rng.normal(size=PROMPTS)
    values += harm - values.mean()
    return Record(
        kind=Kind.QUALITY,
        case=f"m-{stack}-{name}",
        nodeid=f"t.py::t[m-{stack}-{name}]",
        checkpoint="m",
        stack=stack,
        place="L01-03",
        strategy=name,
        plan="0 (1|2) 3",
        words=words,
        fingerprint=FINGERPRINT,
        verdict=Verdict(status, (Check("harm", harm, 0.1, 0.05, status, "t"),)),
        measurement=Measurement(
            n=PROMPTS,
            prompts=PROMPTS,
            values={"harm": tuple(values)},
            summary={"harm": harm, "seed_sd": 1.0, "collapsed": float(collapsed), "clip_delta": -harm},
        ),
    )


def latency(name, ratio, stack="s", *, half=0.1, theory=1.3):
    record = quality(name, 0.0, stack=stack)
    times = Latency((1.0,), (1.0 / ratio,), 8, ratio, ratio - half, ratio + half, theory)
    return replace(record, kind=Kind.LATENCY, measurement=None, latency=times)


def skip(place, harm, ratio=None, *, stack="s", theory=1.3, lost=None):
    """The records of a skip of a range (``L01-03``, ``L02``), with its time where a speed-up is given."""
    case = f"m-{stack}-{place}-skip"
    record = replace(quality("skip", harm, stack=stack), case=case, place=place)
    if lost is not None:
        ends = {"lost_percent": lost, "lost_percent_low": lost - 1, "lost_percent_high": lost + 1, "to_lose": 50.0}
        measured = replace(record.measurement, summary={**record.measurement.summary, **ends})
        record = replace(record, measurement=measured)
    if ratio is None:
        return [record]
    timing = replace(latency("skip", ratio, stack=stack, half=0.01, theory=theory), case=case, place=place)
    return [record, timing]


TOLERANCES = [Tolerance("*", "harm", 0.01, 0.002, "t"), Tolerance("*", "latent_drift", 0.002, 0.002, "t")]


def shifted(record, by):
    """The record with ``by`` added to every image's harm."""
    measured = record.measurement
    harm = np.asarray(measured.values["harm"]) + by
    return replace(
        record,
        measurement=replace(
            measured,
            values={**measured.values, "harm": tuple(map(float, harm))},
            summary={**measured.summary, "harm": float(harm.mean())},
        ),
    )


def raised(record, line):
    """The record of the same case where its test raised before anything was measured."""
    return replace(record, measurement=None, latency=None, verdict=Verdict(Status.ERROR, notes=(line,)))
