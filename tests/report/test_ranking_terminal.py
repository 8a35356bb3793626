"""The ranking in a terminal fits its width."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report.ranking_terminal import render
from tests.helpers.records import latency, quality, raised


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal(width):
    text = render([quality("skip", 0.5), quality("parallel", 1.5), latency("skip", 1.2)], width, colour=False)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "least harmful variant: m" in text
    assert ("plan" in text) == (width == 200)
    assert "harm [points]" in text


def test_the_foot_says_the_unit_and_the_batches():
    record = quality("skip", 0.5)
    summary = {**record.measurement.summary, "seed_sd": 1.476, "seed_sd_low": 1.05, "seed_sd_high": 2.1}
    record = replace(
        record,
        measurement=replace(record.measurement, summary=summary),
        fingerprint=replace(record.fingerprint, sampling={"batch": 4}),
    )
    timing = replace(latency("skip", 1.2), fingerprint=record.fingerprint)
    text = render([record, timing], 200, colour=False)
    assert "1 sd = 1.48 points [1.05, 2.10], of this checkpoint and these prompts alone" in text
    assert "speed-up: of a forward of 8 images; images were sampled 4 at a time" in text
    assert "no tiers" not in text


def test_the_foot_says_why_there_are_no_tiers():
    record = quality("skip", 0.5)
    values = {"harm": record.measurement.values["harm"][:8]}
    few = replace(record, measurement=replace(record.measurement, n=8, prompts=8, values=values))
    assert "no tiers: 8 prompts, and tiers need 16" in render([few], 120, colour=False)


def test_what_a_foreign_journal_says_is_shown_and_not_obeyed():
    bad = "\x1b[31m\x1b]0;title\x07\nsecond line\u202e"
    record = quality("skip", 0.5)
    names = dict.fromkeys(("stack", "place", "strategy", "plan", "checkpoint", "case"), bad)
    text = render([replace(record, **names, words=(bad,))], 200, colour=False)
    assert not {c for c in text if not c.isprintable()} - {"\n"}
    assert "\\x1b[31m" in text


def test_cases_that_raised_are_named():
    broken = raised(quality("swap", 0.1), "TypeError: x")
    text = render([quality("skip", 0.5), broken], 100, colour=False)
    assert "not ranked, as the test raised (1):\nm-s-swap: TypeError: x\n" in text
    assert "least harmful variant: m" in text
    alone = render([broken], 100, colour=False)
    assert alone == "nothing to rank: m\nnot ranked, as the test raised (1):\nm-s-swap: TypeError: x\n"
