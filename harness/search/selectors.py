"""Selectors: ways to a set of blocks that can be left out together, by asking for the errors of few of all sets.

Each takes a :class:`~harness.search.problem.Problem` and measures through it. They are interchangeable, so that what
they come to can be compared at equal cost, with each other and with the truth (:mod:`harness.search.regret`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import Bounds as VariableBounds
from scipy.optimize import LinearConstraint, milp

from harness.ablation.removals import ROUNDING, Removal
from harness.search.evaluation import Exhausted
from harness.search.nsga2 import nsga2
from harness.search.problem import Problem

_OFFSPRING = 16  # of a generation of the evolution
_SURVIVORS = 4  # of them are measured in full
_GREEDY_SHARE = 0.5  # of the budget may go into where an evolution begins
_STALE = 40  # generations without a better removal after which an evolution without a budget ends


Selector = Callable[[Problem], Removal | None]


def one_shot(problem: Problem) -> Removal:
    """Leave out the blocks whose removal alone costs least error for what it saves, until the target is reached."""
    worth = problem.single_errors() / np.array(problem.blocks.shares)
    return problem.trimmed(problem.filled(frozenset(), np.argsort(worth, kind="stable")), worth)


def knapsack(problem: Problem) -> Removal:
    """The removal with the smallest sum of single errors, as a 0-1 knapsack (LAPTOP-Diff, Zhang et al. 2024, eq. 8).

    It supposes that errors add up.
    """
    errors, shares = problem.single_errors(), np.array(problem.blocks.shares)
    enough = LinearConstraint(shares[None, :], lb=problem.target - ROUNDING)
    solved = milp(
        errors, constraints=enough, integrality=np.ones(len(errors), dtype=np.int64), bounds=VariableBounds(0, 1)
    )
    assert solved.x is not None  # a Problem has a solution
    chosen = frozenset(map(int, np.flatnonzero(np.round(solved.x))))
    return problem.trimmed(chosen, errors / shares)


def greedy(problem: Problem) -> Removal:
    """Leave out one block after the other, each time the one that costs least error for what it saves, measured anew.

    SLEB (Song et al. 2024, algorithm 1) and FinerCut (Zhang et al. 2024) go this way. Where the budget ends before the
    target is reached, the rest is chosen by what was measured last.
    """
    chosen: Removal = frozenset()
    worth: dict[int, float] = {}
    while not problem.blocks.reaches(chosen, problem.target):
        left = [block for block in range(problem.blocks.count) if block not in chosen]
        before = problem.errors.fine.get(chosen, 0.0)
        try:
            after = problem.errors([chosen | {block} for block in left])
            worth = {b: (e - before) / problem.blocks.shares[b] for b, e in zip(left, after, strict=True)}
        except Exhausted:
            if not worth:
                raise
        chosen |= {min(left, key=lambda block: (worth[block], block))}
    return problem.trimmed(chosen, np.array([worth.get(b, 0.0) for b in range(problem.blocks.count)]))


def random(problem: Problem) -> Removal | None:
    """The best of removals drawn at random: what a selector has to beat at the same cost."""
    budget = problem.errors.budget or problem.blocks.count**2
    while problem.errors.spent < budget:
        before = problem.errors.spent
        try:
            for _ in range(100):
                problem.errors([_drawn(problem)])
        except Exhausted:
            break
        if problem.errors.spent == before:
            break  # everything there is has been drawn
    return problem.errors.best(problem.allowed)


def evolution(problem: Problem) -> Removal | None:
    """(1 + lambda) evolution with two fidelities (EvoPress, Sieberling et al. 2024).

    It begins with the knapsack's removal, or with the greedy one where that is better and takes at most half of the
    budget. A child leaves out another block instead of one of its parent's, or several;
    all children are measured on few prompts, the best of them on all. The parent is the best measured on all, also
    where a child is worse: errors of sets are no sums of their blocks', so no order of blocks leads there for sure.
    """
    parent = knapsack(problem)
    stale = 0
    try:
        if _greedy_cost(problem, len(parent)) <= _GREEDY_SHARE * problem.errors.left:
            parent = min(parent, greedy(problem), key=lambda removal: problem.errors([removal])[0])
        (best,) = problem.errors([parent])
        while stale < _STALE:
            children = list({child for _ in range(_OFFSPRING) if (child := _child(problem, parent)) != parent})
            fresh = [child for child in children if child not in problem.errors.fine]
            stale += 1
            if not fresh:
                continue
            rough = problem.errors(fresh, rough=True)
            ranked = [child for _, _, child in sorted(zip(rough, map(sorted, fresh), fresh, strict=True))]
            survivors = ranked[:_SURVIVORS]
            for error, child in zip(problem.errors(survivors), survivors, strict=True):
                if error < best:
                    parent, best, stale = child, error, 0
    except Exhausted:
        pass
    return problem.errors.best(problem.allowed) or parent


SELECTORS: dict[str, Selector] = {
    "one-shot": one_shot,
    "knapsack": knapsack,
    "greedy": greedy,
    "evolution": evolution,
    "nsga2": nsga2,
    "random": random,
}
WITHOUT_CHANCE = frozenset({"one-shot", "knapsack", "greedy"})


def _greedy_cost(problem: Problem, size: int) -> int:
    """The evaluations of :func:`greedy` for so many blocks."""
    return sum(problem.blocks.count - taken for taken in range(size))


def _drawn(problem: Problem) -> Removal:
    """A removal that saves enough, at random."""
    return problem.completed(frozenset())


def _child(problem: Problem, parent: Removal) -> Removal:
    """The parent with one to three of its blocks back, and others left out until it saves enough."""
    number = min(len(parent), 1 + int(problem.rng.geometric(0.6) - 1), 3)
    back = problem.rng.choice(sorted(parent), size=number, replace=False)
    return problem.completed(parent - set(map(int, back)))
