"""The command that measures one case again."""

from __future__ import annotations

import re
import shlex

from harness.ablation.case import BY_HAND
from harness.ablation.modifiers import WORD as MODIFIER
from harness.errors import printable
from harness.results.records import Kind, Record


def command(record: Record) -> str:
    """``pytest 'cases/test_flux.py::test_ablation[...]' --dit-stack=double ...``; empty where no test made the record.

    It names stack, range and strategy, so that it works whatever grid the case file has by itself.
    """
    return test_command(record.nodeid, *_options(record)) if record.nodeid else ""


def test_command(nodeid: str, *options: str) -> str:
    """``pytest 'cases/test_findings.py::test_finding[flux-tiny-B2]'``; empty where no test is named."""
    return " ".join(shlex.quote(printable(word)) for word in ("pytest", nodeid, *options)) if nodeid else ""


def _options(record: Record) -> list[str]:
    if record.kind is Kind.CONTROL or MODIFIER in record.words:
        return []
    options: list[str] = []
    place = re.fullmatch(r"L(\d{1,4})(?:-(\d{1,4}))?", record.place, flags=re.ASCII)
    if BY_HAND in record.words:
        options.append(f"--dit-plan={record.stack}: {record.plan}")
    elif place is not None and record.strategy:
        first, last = int(place[1]), int(place[2] or place[1])
        span = str(first) if first == last else f"{first}-{last}"
        options += [f"--dit-stack={record.stack}", f"--dit-range={span}", f"--dit-strategy={record.strategy}"]
    if record.window is not None:
        first, last = record.window
        options.append(f"--dit-steps-window={first}-{last}")
    if record.guidance_pass is not None:
        options.append(f"--dit-pass={record.guidance_pass.value}")
    return options
