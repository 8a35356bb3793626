"""The ranking is a function of records: least harmful first, collapsed last, like with like."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from harness.ablation.guidance import GuidancePass
from harness.report.ranking_data import nested
from harness.report.ranking_page import markdown
from harness.report.ranking_table import columns_of, headings, title
from harness.report.ranking_terminal import draw
from harness.results.figure import RankedBy
from harness.results.judge_check import JudgeCheck
from harness.results.ranking import rank
from harness.results.records import Measurement, Record, Status, Verdict
from harness.results.statistics import Interval, seed_sd_interval
from tests.helpers.records import FINGERPRINT, PROMPTS, latency, quality, raised
from tests.helpers.rivals import modifiers, plan


def test_least_harmful_first_and_collapsed_last():
    blank = quality("c", 0.0, collapsed=PROMPTS - 1)
    one_blank = quality("e", 0.5, collapsed=1)
    (ranking,) = rank([quality("a", 2.0), quality("b", 0.1), blank, quality("d", 1.0), one_blank])
    assert [row.strategy for row in ranking.rows] == ["b", "e", "d", "a", "c"]
    assert [row.tier for row in ranking.rows] == [1, 2, 3, 4, 5]
    assert ranking.rows[0].rank_low == ranking.rows[0].rank_high == 1


def starred(harms, timings):
    stacks = {timing.strategy: timing.stack for timing in timings}
    (ranking,) = rank([quality(n, h, stack=stacks.get(n, "s")) for n, h in harms.items()] + timings)
    return {row.strategy for row in ranking.rows if row.pareto}


def test_pareto_marks_what_is_surely_faster_than_all_that_harms_less():
    harms = {"a": 0.1, "b": 0.5, "c": 0.6, "d": 0.05}
    timings = [latency("a", 1.15), latency("b", 1.5, "t"), latency("c", 1.2)]
    assert starred(harms, timings) == {"a", "b"}
    # The intervals of b and a, of different stacks, overlap: b is faster by chance.
    assert starred(harms, [latency("a", 1.15), latency("b", 1.3, "t"), latency("c", 1.2)]) == {"a"}


def test_within_a_stack_it_is_known_what_is_faster():
    """Its blocks cost the same: leaving out more is faster, and leaving out as many isn't, whatever was timed."""
    harms = {"a": 0.1, "b": 0.5, "c": 0.6}
    more = [latency("a", 1.15, theory=1.1), latency("b", 1.2, theory=1.3), latency("c", 1.6, theory=1.3)]
    assert starred(harms, more) == {"a", "b"}


def test_plans_and_modifiers_have_fronts_of_their_own():
    """A plan that a rival beats on both still answers which blocks can go."""
    records = [
        *plan("skip", 3.0, 1.3),
        *plan("worse", 4.0, 1.3),
        *modifiers("fewer-steps.3", 0.1, 4 / 3),
        *modifiers("fewer-steps.2", 0.5, 2.0),
        *modifiers("reuse.n2", 0.7, 1.5),
    ]
    (ranking,) = rank(records)
    starred = {row.strategy for row in ranking.rows if row.pareto}
    assert starred == {"skip", "fewer-steps.3", "fewer-steps.2"}
    assert {row.strategy for row in ranking.removals} == starred


def test_no_permutation_is_starred_for_a_lucky_timing():
    """The least harmful variant, 1.01 times as fast, with an interval above 1: it runs every block."""
    harms = {"shuffle": 0.1, "skip": 0.5}
    timings = [latency("shuffle", 1.01, half=0.005, theory=1.0), latency("skip", 1.3)]
    assert starred(harms, timings) == {"skip"}
    assert starred(harms, [timings[0], latency("skip", 1.05)]) == set()  # 0.95 to 1.15: not surely faster


def test_harm_in_points_has_the_interval_of_harm_in_sd():
    record = quality("a", 0.5)
    measured = record.measurement
    summary = {**measured.summary, "seed_sd": 0.25, "harm": 2.0}
    (ranking,) = rank([replace(record, measurement=replace(measured, summary=summary))])
    (row,) = ranking.rows
    assert row.harm == pytest.approx(2.0)
    assert (row.points_low, row.points_high) == (pytest.approx(row.harm_low / 4), pytest.approx(row.harm_high / 4))


def test_the_unit_comes_with_its_interval():
    """From the variant's own record; in journals of earlier versions from the control's scores."""
    record = quality("a", 0.5)
    assert rank([record])[0].unit is None
    scores = np.random.default_rng(0).normal(size=(PROMPTS, 4))
    control = Record.of_control(
        FINGERPRINT, Verdict(Status.OK), Measurement(scores.size, PROMPTS, {"score": tuple(scores.ravel())}, {})
    )
    unit = rank([record, control])[0].unit
    assert (unit.low, unit.value) == (seed_sd_interval(scores).low, 1.0)
    summary = {**record.measurement.summary, "seed_sd_low": 0.5, "seed_sd_high": 2.0}
    known = replace(record, measurement=replace(record.measurement, summary=summary))
    assert rank([known, control])[0].unit == Interval(1.0, 0.5, 2.0)


def test_batches_are_those_of_the_records():
    record = replace(quality("a", 0.5), fingerprint=replace(FINGERPRINT, sampling={"batch": 64}))
    timed = replace(latency("a", 1.2), fingerprint=record.fingerprint)
    (ranking,) = rank([record, timed])
    assert (ranking.sampled_batch, ranking.timed_batch) == (PROMPTS, 8)
    assert rank([quality("a", 0.5)])[0].sampled_batch is None


def test_few_prompts_are_ranked_without_tiers():
    records = []
    for name, harm in (("a", 0.1), ("b", 5.0)):
        record = quality(name, harm)
        values = {"harm": record.measurement.values["harm"][:8]}
        records.append(replace(record, measurement=replace(record.measurement, n=8, prompts=8, values=values)))
    (ranking,) = rank(records)
    assert (ranking.tiers, [row.tier for row in ranking.rows]) == (0, [None, None])


def test_strategies_are_summed_up_within_equal_ranges():
    records = [
        quality("shuffle.s0", 0.2),
        quality("shuffle.s1", 0.4),
        quality("shuffle.s2", 0.9),
        quality("skip", 0.1, words=("first",)),
    ]
    (ranking,) = rank(records)
    assert [(g.depth, g.strategy, g.cases, g.harm) for g in ranking.groups] == [
        ("first", "skip", 1, pytest.approx(0.1)),
        ("middle", "shuffle", 3, pytest.approx(0.4)),
    ]


def test_a_quick_run_among_full_ones_is_left_out():
    small = quality("x", 0.1)
    small = replace(small, measurement=replace(small.measurement, prompts=4, n=4, values={"harm": (0.1,) * 4}))
    (ranking,) = rank([quality("a", 0.3), small])
    assert [row.strategy for row in ranking.rows] == ["a"]


def test_checkpoints_are_ranked_apart():
    other = replace(quality("a", 0.3), checkpoint="n", case="n-s-a")
    assert [r.checkpoint for r in rank([quality("a", 0.1), other])] == ["m", "n"]


def test_rankings_tell_windows_apart():
    """Cases of one strategy, each with its own seeds' median, never mixed with another window's."""
    records = [
        dataclasses.replace(quality(f"shuffle.s{s}", harm), case=f"m-s-{s}-{w}", window=w)
        for w, harm in ((None, 3.0), ((0, 1), 1.0), ((2, 3), 2.0))
        for s in range(2)
    ]
    (ranking,) = rank(records)
    assert {row.strategy for row in ranking.rows} == {
        f"shuffle.s{s}{w}" for s in range(2) for w in ("", "-steps-0-1", "-steps-2-3")
    }
    assert {(g.strategy, g.cases, round(g.harm, 6)) for g in ranking.groups} == {
        ("shuffle", 2, 3.0),
        ("shuffle-steps-0-1", 2, 1.0),
        ("shuffle-steps-2-3", 2, 2.0),
    }


def test_rankings_tell_passes_of_guidance_apart():
    records = [
        dataclasses.replace(quality("skip", harm), case=f"m-s-skip-{one}", guidance_pass=one)
        for one, harm in ((None, 3.0), (GuidancePass.UNCONDITIONAL, 1.0), (GuidancePass.CONDITIONAL, 2.0))
    ]
    (ranking,) = rank(records)
    assert [row.strategy for row in ranking.rows] == ["skip-uncond", "skip-cond", "skip"]
    assert {g.strategy for g in ranking.groups} == {"skip-uncond", "skip-cond", "skip"}


def test_what_was_measured_differently_is_in_a_table_of_its_own():
    records = [quality("a", 0.5), quality("b", 0.7), latency("a", 1.3)]
    other = replace(records[0].fingerprint, dtype="bfloat16", judge="k")
    records += [replace(quality("c", 0.1), fingerprint=other), replace(latency("c", 1.2), fingerprint=other)]
    first, second = rank(records)
    assert [row.strategy for row in first.rows] == ["a", "b"]
    assert [row.strategy for row in second.rows] == ["c"]
    assert (first.apart, second.apart) == ("", "judge j -> k, dtype float32 -> bfloat16")
    assert (first.fingerprint, second.fingerprint) == (records[0].fingerprint, other)
    assert second.rows[0].latency is not None


def test_shards_of_other_machines_are_ranked_together():
    elsewhere = replace(quality("a", 0.5).fingerprint, capability="AVX2", threads=8, machine="other")
    (ranking,) = rank([quality("a", 0.5), replace(quality("b", 0.7), fingerprint=elsewhere)])
    assert len(ranking.rows) == 2


@pytest.mark.parametrize(
    ("values", "summary", "why"),
    [
        ({"harm": (float("nan"),) * PROMPTS}, {}, "its harm was not measured, or is no number"),
        ({}, {}, "its harm was not measured, or is no number"),
        (None, {"seed_sd": 0.0}, "its unit of harm is 0.0"),
        (None, {"seed_sd": -1.0}, "its unit of harm is -1.0"),
        (None, {"collapsed": float("nan")}, "its collapsed images were not counted"),
    ],
)
def test_a_variant_that_can_not_be_ranked_is_left_out_and_said(values, summary, why):
    bad = quality("bad", 0.5)
    measured = bad.measurement
    values = measured.values if values is None else values
    bad = replace(bad, measurement=replace(measured, values=values, summary=measured.summary | summary))
    (ranking,) = rank([quality("a", 0.5), bad])
    assert [row.strategy for row in ranking.rows] == ["a"]
    assert ranking.left_out == {"m-s-bad": why}


# --- the judge, and others ---

FAILED = JudgeCheck(8, 90.0, {"blank": -3.0}, ("blank images score higher",))


def judged(record, check):
    return replace(record, measurement=replace(record.measurement, judge_check=check))


def test_nothing_is_ranked_by_a_judge_that_failed_its_check():
    records = [judged(quality("a", 0.1), FAILED), quality("b", 0.2), latency("b", 1.3)]
    (ranking,) = rank(records)
    assert ranking.by is RankedBy.SPEED
    assert ranking.judge_check == FAILED
    assert [row.strategy for row in ranking.rows] == ["b", "a"]
    assert {row.harm for row in ranking.rows} == {row.tier for row in ranking.rows} == {None}
    assert not {"harm", "clip_delta", "seed_sd"} & set().union(*(row.summary for row in ranking.rows))
    assert title(ranking) == "fastest variant, by speed-up (the judge is refused): m"
    assert title(rank(records[:2])[0]) == "not ranked (the judge is refused, no latency measured): m"
    page = markdown(records, [ranking])
    assert "the judge is refused: blank images score higher. " in page
    assert "harm [sd]" not in page
    assert "the judge is refused: blank images score higher. " in " ".join(draw([ranking], 200, colour=False).split())


def test_a_judge_that_a_person_trusts_ranks_and_the_table_says_so():
    (ranking,) = rank([judged(quality("a", 0.1), replace(FAILED, overruled=True)), quality("b", 0.2)])
    assert ranking.by is RankedBy.HARM
    assert "THE JUDGE FAILED ITS CHECK and ranks all the same" in draw([ranking], 200, colour=False)


def test_a_checked_judge_is_told_under_the_table_and_in_json():
    check = JudgeCheck(16, 96.0, {"blank": 90.0, "blur 1": 3.5})
    (ranking,) = rank([judged(quality("a", 0.1), check)])
    line = "(mean score 96.0); it scores lower, by points: blank 90.0, blur 1 3.5"
    assert line in draw([ranking], 250, colour=False)
    assert nested(ranking)["judge_check"]["lower"] == check.lower


def test_the_checker_ranks_beside_harm():
    records = []
    for name, harm, loss in (("a", 1, 0.3), ("b", 2, 0.1), ("c", 3, 0.1), ("d", 4, 0.9)):
        record = quality(name, harm)
        measured = record.measurement
        values = {**measured.values, "grade_loss": (loss,) * measured.n}
        summary = {**measured.summary, "grade_loss": loss}
        records.append(replace(record, measurement=replace(measured, values=values, summary=summary)))
    (ranking,) = rank(records)
    assert [row.value("checker_rank") for row in ranking.rows] == [3.0, 1.5, 1.5, 4.0]
    assert "checker #" in headings(columns_of(ranking))
    (opinion,) = ranking.opinions
    assert opinion.name == "checker"
    text = " ".join(draw([ranking], 300, colour=False).split())
    assert "second opinion: checker, by its loss, ranks with Spearman 0.32 [" in text
    assert "they part most at m-s-a (# 1 by harm, 3)" in text


def test_what_raised_is_not_ranked_but_named():
    run = [quality("skip", 1.0), raised(quality("swap", 0.1), "TypeError: x"), quality("reverse", 0.2)]
    timing = raised(latency("skip", 1.2), "RuntimeError: y")
    other = replace(raised(quality("skip", 0.3), "OSError: z"), checkpoint="n", case="n-s-skip")
    ranking, nothing = rank([*run, timing, other])
    assert [row.case for row in ranking.rows] == ["m-s-reverse", "m-s-skip"]
    assert ranking.errors == {"m-s-swap": "TypeError: x", "m-s-skip (latency)": "RuntimeError: y"}
    assert (nothing.checkpoint, nothing.rows, nothing.errors) == ("n", (), {"n-s-skip": "OSError: z"})


def test_what_was_measured_before_its_test_raised_is_ranked_and_says_so():
    made = quality("skip", 1.0)
    late = replace(made, verdict=replace(made.verdict, status=Status.ERROR, notes=("AssertionError: too slow",)))
    (ranking,) = rank([late, quality("swap", 0.1)])
    assert [(row.case, row.gate) for row in ranking.rows][1] == ("m-s-skip", Status.ERROR)
    assert ranking.errors == {}


def test_a_control_without_scores_gives_the_unit_no_interval():
    record = quality("skip", 0.5)
    measured = Measurement(32, 16, {"score": ()}, {"seed_sd": 1.0})
    control = Record.of_control(record.fingerprint, Verdict(Status.OK), measured)
    (ranking,) = rank([control, record])
    assert ranking.unit is None
    assert [row.case for row in ranking.rows] == ["m-s-skip"]
