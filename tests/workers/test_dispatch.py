"""Every case is done once, whatever workers are lost: a lost case goes elsewhere, and who failed rests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.workers.dispatch import Dispatch, Limits


def ready(cases, workers, **limits):
    dispatch = Dispatch(cases, workers, Limits(**limits))
    for number in range(workers):
        dispatch.is_ready(number)
    return dispatch


def test_a_lost_case_goes_to_another_worker_and_the_one_that_failed_rests():
    dispatch = ready("ab", 2, rest=10)
    assert dispatch.take(0, now=0) == "a"
    assert dispatch.failed(0, now=1) == 10
    assert dispatch.is_resting(0, now=10.9)
    assert not dispatch.is_resting(0, now=11)
    assert dispatch.take(0, now=5) is None
    assert dispatch.take(1, now=5) == "b"
    dispatch.is_done(1)
    dispatch.is_ready(0)
    assert dispatch.take(0, now=12) is None  # worker 1 is there, which was not lost with it
    assert dispatch.take(1, now=12) == "a"
    dispatch.is_done(1)
    assert dispatch.finished
    assert dispatch.done == ["b", "a"]


def test_where_no_other_worker_is_ready_the_same_one_tries_again():
    dispatch = ready("a", 1, rest=10)
    dispatch.take(0, now=0)
    dispatch.failed(0, now=0)
    dispatch.is_ready(0)
    assert dispatch.take(0, now=10) == "a"


def test_rest_grows_with_failures_in_a_row_and_then_the_worker_is_not_asked_again():
    dispatch = ready("a", 1, rest=1, failures=4, losses=9)
    assert [dispatch.failed(0, now=0) for _ in range(3)] == [1, 2, 4]
    assert not dispatch.stuck
    dispatch.failed(0, now=0)
    assert dispatch.is_retired(0)
    assert dispatch.stuck


def test_a_measured_case_ends_the_row_of_failures():
    dispatch = ready("ab", 1, rest=1)
    dispatch.failed(0, now=0)
    dispatch.is_ready(0)
    dispatch.take(0, now=9)
    dispatch.is_done(0)
    assert dispatch.failed(0, now=9) == 1


def test_a_case_that_is_lost_with_several_workers_is_given_up():
    dispatch = ready("a", 3, rest=0)
    for number in range(3):
        assert dispatch.take(number, now=0) == "a"
        dispatch.failed(number, now=0)
    assert dispatch.given_up == ["a"]
    assert dispatch.finished


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=200))
def test_no_case_is_ever_lost_or_done_twice(steps):
    cases = [f"c{i}" for i in range(12)]
    dispatch = ready(cases, 3, rest=0, failures=10_000, losses=10_000)
    for number, dies in [*steps, *((n % 3, False) for n in range(100))]:
        dispatch.is_ready(number)
        dispatch.take(number, now=0)
        if dies:
            dispatch.failed(number, now=0)
        else:
            dispatch.is_done(number)
    assert dispatch.finished
    assert sorted(dispatch.done) == sorted(cases)
