"""NSGA-II over error and saving (Deb et al. 2002), by pymoo: a selector that works on the whole front at once."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from harness.ablation.removals import Removal
from harness.errors import HarnessError
from harness.extras import missing
from harness.search.evaluation import Exhausted
from harness.search.problem import Problem

_POPULATION = 24
_COMPLETED = 0.5  # of the children that save too little
_STALE = 30  # generations without a better removal after which a search without a budget ends


def check_installed() -> None:
    """Raise HarnessError with the command that installs pymoo where it is missing."""
    if find_spec("pymoo") is None:
        raise HarnessError(missing("--selector nsga2", "pymoo", "search"))


def nsga2(problem: Problem) -> Removal | None:
    """The best removal of the front of error against saving; what it measured of the rest stays in ``problem.errors``.

    A removal that saves more than the target is no better for it. The first population holds the removals of the blocks
    with the smallest single errors, of every number of them, and others of as many blocks at random. Raises
    HarnessError where pymoo is missing.
    """
    check_installed()
    # pymoo is an extra, and takes a second to import.
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.problem import Problem as Search
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.bitflip import BitflipMutation
    from pymoo.problems.static import StaticProblem

    try:
        first = _first_population(problem)
    except Exhausted:
        return None
    search = Search(n_var=problem.blocks.count, n_obj=2, xl=0, xu=1, vtype=bool)
    algorithm: Any = NSGA2(
        pop_size=_POPULATION,
        sampling=first,
        crossover=UniformCrossover(),
        mutation=BitflipMutation(),
        eliminate_duplicates=True,
    )
    algorithm.setup(search, termination=NoTermination(), seed=int(problem.rng.integers(2**31)))
    best, stale = float("inf"), 0
    try:
        while stale < _STALE:
            population = algorithm.ask()
            if population is None or not len(population):
                break
            removals = [_repaired(problem, row) for row in population.get("X")]
            population.set("X", np.array([_row(problem, removal) for removal in removals]))
            errors = problem.errors(removals)
            short = [max(0.0, problem.target - problem.blocks.saved(removal)) for removal in removals]
            values = np.column_stack([errors, short])
            Evaluator().eval(StaticProblem(search, F=values), population)
            algorithm.tell(infills=population)
            reached = [e for e, s in zip(errors, short, strict=True) if s <= 0]
            stale = 0 if min(reached, default=best) < best else stale + 1
            best = min([best, *reached])
    except Exhausted:
        pass
    return problem.errors.best(problem.allowed)


def _repaired(problem: Problem, row: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Removal:
    """A removal that saves no more than it must; half of those that save less than the target are completed to it.

    Crossover and mutation alone make few that save just as much as the target, which is what is asked for.
    """
    removal: Removal = frozenset(map(int, np.flatnonzero(row)))
    if problem.blocks.reaches(removal, problem.target) or problem.rng.random() < _COMPLETED:
        return problem.completed(removal)
    return removal


def _row(problem: Problem, removal: Removal) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    row = np.zeros(problem.blocks.count, dtype=bool)
    row[list(removal)] = True
    return row


def _first_population(problem: Problem) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(N, L) removals: the n blocks with the smallest single errors, for n up to what saves enough, and random ones."""
    order = np.argsort(problem.single_errors() / np.array(problem.blocks.shares), kind="stable")
    removals: list[Removal] = []
    chosen: Removal = frozenset()
    for block in map(int, order):
        if problem.blocks.reaches(chosen, problem.target):
            break
        chosen |= {block}
        removals.append(chosen)
    while len(removals) < _POPULATION:
        removals.append(problem.completed(frozenset()))
    return np.array([_row(problem, removal) for removal in removals])
