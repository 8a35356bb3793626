"""Replays of a run, and the table of what they save and lose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.report.adaptive_page import agreement, page, replays, uniform
from harness.results.rank_intervals import rank_intervals
from harness.results.records import Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, quality
from tests.simulations.real import real_harms


def test_all_prompts_agree_fully():
    table = real_harms()[:20, :64]
    tiers = rank_intervals(table).tier
    same = agreement(table, tiers, list(table))
    assert (same.images, same.tau, same.tau_apart) == (1, 1, 1)
    half = agreement(table, tiers, list(table[:, :32]))
    assert half.images == 0.5
    assert half.tau < 1
    assert agreement(table, tiers, [-row for row in table]).tau_apart == -1


def test_a_replay_agrees_on_what_the_exhaustive_run_tells_apart():
    table = real_harms()[:, :64]
    found = replays(table, ("",) * 64, first_seed=3000)
    assert len(found) == 20
    assert np.median([each.tau_apart for each in found]) > 0.9
    assert np.median([each.images for each in found]) < 0.3
    equal = uniform(table, ("",) * 64, 16, first_seed=3000)
    assert {each.images for each in equal} == {0.25}


def test_the_page_has_a_row_for_the_replay_and_three_for_comparison():
    records = []
    for number, row in enumerate(real_harms()[:12, :64]):
        record = quality(f"v{number}", 0.1)
        measured = replace(record.measurement, n=64, prompts=64, values={"harm": tuple(row)})
        records.append(replace(record, measurement=measured))
    records.append(Record.of_control(FINGERPRINT, Verdict(Status.OK), None))
    lines = page(records).splitlines()
    assert len(lines) == 2 + 4
    assert lines[2].startswith("| m, 12 variants, ")
    assert " | adaptive | " in lines[2]
    assert " | 16 prompts each | 25 (25) | " in lines[4]
