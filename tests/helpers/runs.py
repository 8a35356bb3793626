"""Run folders made by hand, for what shows a whole run: records with plans, prompts, times, failures, and pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.report.image_sheet import save_image_sheet, sheet_path
from harness.results.records import Check, Kind, Measurement, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, PROMPTS, latency, quality

CATEGORIES = ("people", "text", "scenes", "counting")
STRATEGIES = ("skip", "reverse", "parallel", "shuffle.s0")


def control(prompts=PROMPTS, texts=None, checkpoint="m"):
    """The control's record, with the texts and categories of its prompts."""
    fingerprint = replace(FINGERPRINT, checkpoint=checkpoint)
    measured = Measurement(
        n=prompts,
        prompts=prompts,
        values={"score": tuple(float(20 + i % 5) for i in range(prompts))},
        summary={"score": 22.0},
        texts=tuple(texts or (f"prompt number {i + 1}" for i in range(prompts))),
        categories=tuple(CATEGORIES[i % len(CATEGORIES)] for i in range(prompts)),
    )
    return Record.of_control(fingerprint, Verdict(Status.OK), measured, nodeid="t.py::test_control")


def variant(place, strategy, harm, *, stack="s", plan="0-4", prompts=PROMPTS, status=Status.OK, failure="", words=()):
    """A variant's quality record; its prompts lose more the higher their number is."""
    case = f"m-{stack}-{place}-{strategy}"
    spread = np.linspace(0.5, 1.5, prompts) * harm
    check = Check("harm", harm, 0.9 * harm, 0.2 * harm if status is Status.OK else 0.01, status, 'tolerances.toml "*"')
    return replace(
        quality(strategy, harm, stack=stack, status=status),
        case=case,
        nodeid=f"cases/test_m.py::test_ablation[{case}]",
        place=place,
        plan=plan,
        words=words or (("each",) if "-" not in place else ("middle",)),
        verdict=Verdict(status, (check,)),
        failure=failure,
        run="20261122-night",
        measurement=Measurement(
            n=prompts,
            prompts=prompts,
            values={"harm": tuple(map(float, spread))},
            summary={"harm": harm, "seed_sd": 1.0, "collapsed": 0.0, "clip_delta": -harm, "latent_drift": harm / 10},
        ),
    )


def timing(record, ratio, *, half=0.02, theory=1.2):
    """The latency record beside a quality record."""
    timed = latency("x", ratio, stack=record.stack, half=half, theory=theory)
    nodeid = record.nodeid.replace("test_ablation", "test_latency")
    return replace(record, kind=Kind.LATENCY, nodeid=nodeid, measurement=None, latency=timed.latency, failure="",
                   verdict=Verdict(Status.OK))  # fmt: skip


def small_run():
    """Eight variants of two stacks, two of them red, one only in its time; one that raised."""
    plans = [
        ("L01", "skip", 0.4, "s", "0 2-4", 1.21),
        ("L02", "skip", 2.5, "s", "0-1 3-4", 1.19),
        ("L03", "skip", 9.0, "s", "0-2 4", 1.22),
        ("L01-03", "reverse", 1.5, "s", "0 3 2 1 4", 1.0),
        ("L01-03", "parallel", 3.0, "s", "0 (1|2|3) 4", 0.99),
        ("L00-01", "skip", 6.0, "u", "2-3", 1.9),
        ("L00-01", "shuffle.s0", 0.2, "u", "1 0 2-3", 1.01),
    ]
    records = [control()]
    for place, strategy, harm, stack, plan, ratio in plans:
        red = place == "L03"
        failure = (
            "harm 9 sd, baseline 8.1, limit 8.11\nchanged since the baseline: torch 2.14.0 -> 2.15.0\n"
            'accept with: pytest "x"'
        )
        record = variant(
            place,
            strategy,
            harm,
            stack=stack,
            plan=plan,
            status=Status.REGRESSION if red else Status.OK,
            failure=failure if red else "",
        )
        records += [record, timing(record, ratio, theory=1.25 if strategy == "skip" else 1.0)]
    boom = replace(variant("L04", "skip", 1.0, plan="0-3"), measurement=None, failure="RuntimeError: boom")
    records.append(replace(boom, verdict=Verdict(Status.ERROR, notes=("RuntimeError: boom",))))
    return records


def colour_of(prompt, *, control):
    """The one colour of a test image: the control's are greenish, variants reddish, each prompt's another."""
    level = 40 + 10 * prompt
    return (20, level, 60) if control else (level, 20, 60)


def pictures(folder, records, *, size=16):
    """Sheets of the control and of every variant, an image of one colour for each prompt."""

    def images(count, *, control):
        out = np.zeros((count, 3, size, size), np.uint8)
        for i in range(count):
            out[i] = np.array(colour_of(i, control=control), np.uint8)[:, None, None]
        return out

    for record in records:
        if record.measurement is not None:
            own = images(record.measurement.prompts, control=record.kind is Kind.CONTROL)
            save_image_sheet(own, sheet_path(folder, record.case))


def large_run(cases, prompts):
    """Very many variants: every plan another, two records each, with random harms of every prompt."""
    rng = np.random.default_rng(0)
    texts = [f"prompt {i + 1}: {'a quite long sentence about it ' * 3}" for i in range(prompts)]
    records = [control(prompts, texts)]
    for i in range(cases):
        first, last = i % 30, i % 30 + i // 30 % 8 + 1
        strategy = f"{STRATEGIES[i % 4]}-{i}"
        record = variant(
            f"L{first:02d}-{last:02d}",
            strategy,
            round(float(rng.gamma(1.0, 3.0)), 4),
            plan=f"0-{max(first - 1, 0)} {last + 1}-{max(last + 1, 39)}" if first else f"{last + 1}-39",
            prompts=prompts,
        )
        noise = rng.normal(0, 1, prompts)
        values = tuple(float(v) for v in np.asarray(record.measurement.values["harm"]) + noise - noise.mean())
        record = replace(record, measurement=replace(record.measurement, values={"harm": values}))
        records += [record, timing(record, 1.0 + float(rng.uniform(-0.05, 0.4)))]
    return records
