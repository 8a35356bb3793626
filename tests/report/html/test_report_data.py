"""A run as the page gets it: every record is in one case, every case in one group."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report.html.report_data import environment, family_of, report_data
from harness.results.ranking import rank
from tests.helpers.records import FINGERPRINT, PROMPTS
from tests.helpers.runs import CATEGORIES, control, small_run, timing, variant


def data_of(records, **options):
    return report_data(records, rank(records), (), **options)


def test_every_record_is_shown_once():
    records = small_run()
    data = data_of(records)
    assert data["results"] == len(records) == sum(len(case["results"]) for case in data["cases"])
    assert data["red"] == 2
    assert dict(data["counts"]) == {"ok": 14, "regression": 1, "error": 1}
    (group,) = data["groups"]
    assert group["variants"] == 7
    assert group["prompts"] == PROMPTS
    assert group["stacks"] == {"s": 5, "u": 4}
    assert group["texts"][0] == "prompt number 1"
    assert group["environment"][0] == ["device", "cpu (AVX512), 2 threads"]
    assert data["cases"][data["changes"]["moved"][0][0]]["name"] == "s-L03-skip"


def test_ranked_cases_come_in_their_order_and_the_others_after_them():
    cases = data_of(small_run())["cases"]
    assert [case["name"] for case in cases[:2]] == ["u-L00-01-shuffle.s0", "s-L01-skip"]
    assert {case["kind"] for case in cases[7:]} == {"control", "quality"}


def test_what_can_go_and_harm_by_category_refer_to_the_cases():
    data = data_of(small_run())
    (group,) = data["groups"]
    assert [data["cases"][number]["name"] for number in group["removals"]] == [
        row.case.removeprefix("m-") for row in rank(small_run())[0].removals
    ]
    (tasks,) = group["tasks"]
    assert tasks["tasks"] == sorted(CATEGORIES) or tasks["tasks"] == list(CATEGORIES)
    assert {data["cases"][number]["kind"] for number, _ in tasks["rows"]} == {"quality"}


def test_a_checkpoint_that_was_measured_in_two_ways_has_two_groups_and_no_pictures():
    first = variant("L01", "skip", 1.0)
    other = replace(first, fingerprint=replace(FINGERPRINT, dtype="bfloat16"))
    records = [first, other]
    data = report_data(records, rank(records), {f"{first.case}.png"}, lambda _name: ["text"])
    assert [group["name"] for group in data["groups"]] == ["m", "m, dtype float32 -> bfloat16"]
    assert [case["group"] for case in data["cases"]] == [0, 1]
    assert all(case["pictures"] == {} for case in data["cases"])
    assert data["groups"][0]["texts"] == []


def test_texts_kept_beside_the_pictures_stand_in_for_the_control_s():
    data = data_of([variant("L01", "skip", 1.0)], kept_texts=lambda name: [f"of {name}"])
    assert data["groups"][0]["texts"] == ["of m"]
    assert data_of([control(), variant("L01", "skip", 1.0)])["groups"][0]["texts"][0] == "prompt number 1"


def test_times_alone_are_a_ranking_by_speed():
    timed = timing(variant("L01", "skip", 1.0), 1.2)
    timed = replace(timed, fingerprint=replace(FINGERPRINT, judge=""))
    (group,) = data_of([timed])["groups"]
    assert group["by"] == "speed-up"
    assert group["tasks"] == []
    assert group["matches"] == []


@pytest.mark.parametrize(
    ("checkpoint", "family"),
    [("FLUX.1-dev", "flux"), ("flux-tiny", "flux"), ("SD3.5-large", "sd3"), ("my-model", "my-model")],
)
def test_the_family(checkpoint, family):
    assert family_of(checkpoint) == family


def test_the_environment_leaves_out_what_is_empty():
    facts = dict(environment(FINGERPRINT))
    assert facts["torch"] == "2.15.0"
    assert "machine" not in facts
    assert facts["sampling"] == "guidance 0.0, steps 4"
