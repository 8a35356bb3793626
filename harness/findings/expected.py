"""Expected verdicts: ``baselines/<checkpoint>/findings.json``, without which no claim can fail a run.

``claims`` maps a claim's id to its verdict, ``measured`` holds the circumstances, as a baseline's facts do. A verdict
that was measured with other prompts, another judge or other sampling says nothing of this run's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BaselineError
from harness.files import parse_json, write_atomically
from harness.findings.claim import ClaimVerdict, Finding
from harness.results.fingerprint import BaselineFacts, changes, incomparable
from harness.results.serialise import checked_schema, from_plain, to_plain

SCHEMA = 1
FILE = "findings.json"


@dataclass
class Stored:
    """The expected verdicts of one checkpoint; ``measured`` is None where none of them rests on a measurement."""

    path: Path
    checkpoint: str
    claims: dict[str, ClaimVerdict] = field(default_factory=dict[str, ClaimVerdict])
    measured: BaselineFacts | None = None


@dataclass(frozen=True)
class _File:
    """The file as it is laid out."""

    schema: int
    checkpoint: str
    claims: Mapping[str, ClaimVerdict]
    measured: BaselineFacts | None


def load(folder: Path, checkpoint: str) -> Stored:
    """The verdicts under a baselines folder; none of them where there is no file.

    Raises BaselineError, naming the file, where it is unreadable, no JSON, of another schema or another checkpoint.
    """
    path = folder / checkpoint / FILE
    mend = "restore it from git, or move it away and run with --dit-baseline-update=all"
    if not path.exists():
        return Stored(path, checkpoint)
    try:
        data = checked_schema(parse_json(path.read_text(encoding="utf-8")), SCHEMA)
        if data.get("measured") == {}:
            data = {**data, "measured": None}
        held = from_plain(_File, data)
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path} can't be read as expected verdicts: {error}; {mend}") from None
    if held.checkpoint != checkpoint:
        raise BaselineError(f"{path} belongs to checkpoint {held.checkpoint!r}, not {checkpoint!r}; {mend}")
    return Stored(path, checkpoint, dict(held.claims), held.measured)


def dump(stored: Stored) -> str:
    """The file's text: sorted, one line a claim."""
    data = {
        "schema": SCHEMA,
        "checkpoint": stored.checkpoint,
        "claims": to_plain(stored.claims),
        "measured": {} if stored.measured is None else to_plain(stored.measured, sparse=True),
    }
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


def save(stored: Stored) -> None:
    """Write the file whole or not at all. Raises HarnessError where it can't be written."""
    write_atomically(stored.path, dump(stored))


def check(finding: Finding, stored: Stored) -> str | None:
    """What to say where the verdict isn't the stored one; None where it is, or where none applies."""
    expected = stored.claims.get(finding.claim)
    if expected in (None, finding.verdict) or other_circumstances(finding, stored):
        return None
    lines = [f"{finding.id}: {finding.verdict.value}, where {expected} is stored", f"claim: {finding.statement}"]
    lines.append(f"decisive: {finding.because}")
    if finding.measured is not None:
        changed = ", ".join(changes(stored.measured, finding.measured)) or "nothing that is recorded"
        lines.append(f"changed since: {changed}")
    return "\n".join(lines)


def other_circumstances(finding: Finding, stored: Stored) -> str:
    """Why a finding can't be compared with the stored verdicts; empty where it can."""
    if finding.measured is None:
        return ""
    return incomparable(stored.measured, finding.measured).replace("the baseline", FILE)


def update(stored: Stored, finding: Finding, mode: str) -> bool:
    """Take a verdict in as ``--dit-baseline-update`` says; True where anything changed.

    ``missing`` adds a claim that has none, ``changed`` and ``all`` replace it, too. Raises BaselineError where verdicts
    that were measured with other prompts, another judge or other sampling would get into one file.
    """
    expected = stored.claims.get(finding.claim)
    if expected is finding.verdict or (expected is not None and mode == "missing"):
        return False
    if other := other_circumstances(finding, stored):
        raise BaselineError(f"{stored.path} is not updated: {finding.id} is {other}; use the same, or move it away")
    stored.claims[finding.claim] = finding.verdict
    stored.measured = finding.measured or stored.measured
    return True
