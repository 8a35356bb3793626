"""How often a gate is red although nothing is wrong: runs without injected faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import JournalError
from harness.results.records import Kind, Record, Status


def false_red_bound(runs: int, reds: int, level: float = 0.95) -> float:
    """The one-sided upper bound on the rate of red runs that ``reds`` of ``runs`` supports (Clopper and Pearson 1934).

    With no red at all it is 1 - (1 - level)^(1 / runs): about 3 / runs at 95 %. Raises ValueError for no run.
    """
    from scipy import stats

    if not 0 <= reds <= runs or runs < 1:
        raise ValueError(f"{reds} of {runs} runs is no count")
    return 1.0 if reds == runs else float(stats.beta.ppf(level, reds + 1, runs - reds))


@dataclass(frozen=True)
class CleanRun:
    """A run in which nothing was wrong.

    ``perturbed`` says under what it ran, ``gates`` how many records were judged, ``red`` the verdicts of the red ones.
    """

    name: str
    perturbed: tuple[str, ...]
    gates: int
    red: Mapping[str, str]

    @classmethod
    def of(cls, name: str, records: Sequence[Record]) -> CleanRun:
        """Read off a run's records. Raises JournalError where none of them was judged."""
        judged = [
            r for r in records if r.kind in (Kind.CONTROL, Kind.QUALITY) and r.verdict.status is not Status.UNJUDGED
        ]
        if not judged:
            raise JournalError(f"run {name}: nothing in it was judged, so it says nothing of false reds")
        red = {r.case: r.verdict.status.value for r in judged if r.verdict.status.red}
        return cls(name, judged[0].fingerprint.perturbed, len(judged), red)
