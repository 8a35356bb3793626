"""Errors are measured once each, and counted."""

from __future__ import annotations

import pytest

from harness.search.evaluation import Evaluations, Exhausted

A, B, C = (frozenset({i}) for i in range(3))


def recorded():
    asked = []

    def measure(removals, rough):
        asked.append((list(removals), rough))
        return [float(sum(removal)) + rough for removal in removals]

    return measure, asked


def test_what_was_measured_costs_nothing_again():
    measure, asked = recorded()
    errors = Evaluations(measure)
    assert errors([A, B, A]) == [0.0, 1.0, 0.0]
    assert errors([B, C]) == [1.0, 2.0]
    assert asked == [([A, B], False), ([C], False)]
    assert errors([B], rough=True) == [2.0]
    assert errors.spent == 3.25


def test_a_request_beyond_the_budget_measures_nothing():
    measure, asked = recorded()
    errors = Evaluations(measure, budget=1.25)
    errors([A])
    with pytest.raises(Exhausted):
        errors([B])
    assert errors([A]) == [0.0]
    assert errors([B], rough=True) == [2.0]
    assert len(asked) == 2
    assert errors.spent == 1.25


def test_the_best_is_of_what_was_measured_in_full():
    errors = Evaluations(recorded()[0])
    errors([B, C])
    errors([A], rough=True)
    assert errors.best(lambda removal: True) == B
    assert errors.best(lambda removal: removal != B) == C
    assert errors.best(lambda removal: removal == A) is None
