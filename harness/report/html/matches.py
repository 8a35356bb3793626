"""What leaving out blocks is worth beside fewer steps and residual reuse at the same cost, as JSON for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import printable
from harness.results.ranking import Ranking
from harness.results.records import Record
from harness.results.same_cost import same_cost
from harness.results.statistics import Interval


def match_data(records: Sequence[Record], ranking: Ranking) -> list[dict[str, Any]]:
    """The least harmful of each kind at each theoretical speed-up; empty where only plans were measured."""
    return [
        {
            "speed_up": match.speed_up,
            "kind": best.kind,
            "names": [printable(name.removeprefix(f"{ranking.checkpoint}-")) for name in best.names],
            "theory": best.speed_up,
            "harm": _ends(best.harm),
            "more": None if best.more_than_plan is None else _ends(best.more_than_plan),
        }
        for match in same_cost(records, ranking)
        for best in match.kinds
    ]


def _ends(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]
