"""Controls of one and of several seeds are compared on the seeds that both have."""

from __future__ import annotations

from dataclasses import replace

from harness.gates.common_seeds import on_common_seeds
from harness.gates.comparison import Movement, compare
from harness.results.records import Measurement, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, TOLERANCES

WHOLE = Measurement(
    n=6,
    prompts=3,
    values={"score": (1.0, 9.0, 2.0, 9.0, 3.0, 9.0)},  # prompts x seeds
    summary={"score": 5.5, "first_score": 2.0, "seed_sd": 1.0},
)
FIRST = Measurement(n=3, prompts=3, values={"score": (1.0, 2.0, 3.0)}, summary={"first_score": 2.0})


def test_what_both_have_stays():
    whole, first = on_common_seeds(WHOLE, FIRST)
    assert whole == first == replace(FIRST, summary={"score": 2.0, "first_score": 2.0})
    assert on_common_seeds(FIRST, WHOLE) == (first, whole)


def test_equal_numbers_and_other_prompts_stay_as_they_are():
    assert on_common_seeds(WHOLE, WHOLE) == (WHOLE, WHOLE)
    others = replace(FIRST, prompts=1)
    assert on_common_seeds(WHOLE, others) == (WHOLE, others)


def test_two_runs_are_compared_on_them():
    def run(measured):
        return [Record.of_control(FINGERPRINT, Verdict(Status.OK), measured)]

    (same,) = compare(run(WHOLE), run(FIRST), TOLERANCES)
    assert {(c.metric, c.moved) for c in same.changes} == {("score", Movement.SAME), ("first_score", Movement.SAME)}
    worse = replace(FIRST, values={"score": (0.0, 1.0, 2.0)}, summary={"first_score": 1.0})
    (other,) = compare(run(WHOLE), run(worse), TOLERANCES)
    assert {c.metric for c in other.changes if c.moved is not Movement.SAME} == {"score", "first_score"}
