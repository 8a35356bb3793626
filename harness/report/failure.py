"""What a red test says of its figures."""

from __future__ import annotations

from harness.results import columns
from harness.results.records import Check, Status


def check_line(check: Check) -> str:
    """``harm  0.41 sd   baseline 0.22   limit 0.27 (+0.05, tolerances.toml "flux-*")``."""
    unit = columns.unit(check.metric)
    value = f"{check.metric.replace('_', ' '):<15} {check.value:<8.4g} {unit:<3}"
    if check.baseline is None or check.tolerance is None:
        return f"{value} no baseline entry"
    stored = f"{value} baseline {check.baseline:<8.4g}"
    if not check.status.red:
        return f"{stored} ok"
    up = (check.status is Status.REGRESSION) != columns.higher_is_better(check.metric)
    far = check.baseline + (check.tolerance if up else -check.tolerance)
    sign = "+" if up else "-"
    kind = "" if check.status is Status.REGRESSION else "  better than it was: stale, or not applied"
    return f"{stored} limit {far:.4g} ({sign}{check.tolerance:.2g}, {check.source}){kind}"
