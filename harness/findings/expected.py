"""Expected verdicts: ``baselines/<checkpoint>/findings.json``, without which no claim can fail a run.

``claims`` maps a claim's id to its verdict, ``measured`` holds the circumstances, as a baseline's facts do. A verdict
that was measured with other prompts, another judge or other sampling says nothing of this run's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BaselineError
from harness.files import no_constant, text, write_atomically
from harness.findings.claim import ClaimVerdict, Finding
from harness.gates.update import UpdateMode, refuse_mixing
from harness.results.fingerprint import changes, incomparable

SCHEMA = 1
FILE = "findings.json"


@dataclass
class Stored:
    """The expected verdicts of one checkpoint."""

    path: Path
    checkpoint: str
    claims: dict[str, ClaimVerdict] = field(default_factory=dict[str, ClaimVerdict])
    measured: dict[str, Any] = field(default_factory=dict[str, Any])


def load(folder: Path, checkpoint: str) -> Stored:
    """The verdicts under a baselines folder; none of them where there is no file.

    Raises BaselineError, naming the file, where it is unreadable, no JSON, of another schema or another checkpoint.
    """
    path = folder / checkpoint / FILE
    mend = "restore it from git, or move it away and run with --dit-baseline-update=all"
    if not path.exists():
        return Stored(path, checkpoint)
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=no_constant)
        if data["schema"] != SCHEMA:
            raise BaselineError(f"{path} has schema {data['schema']!r}, this version reads {SCHEMA}; {mend}")
        if data["checkpoint"] != checkpoint:
            raise BaselineError(f"{path} belongs to checkpoint {data['checkpoint']!r}, not {checkpoint!r}; {mend}")
        claims = {str(name): ClaimVerdict(text(verdict)) for name, verdict in data["claims"].items()}
        return Stored(path, checkpoint, claims, dict(data["measured"]))
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(f"{path} can't be read as expected verdicts: {error!r}; {mend}") from None


def dump(stored: Stored) -> str:
    """The file's text: sorted, one line a claim."""
    data = {
        "schema": SCHEMA,
        "checkpoint": stored.checkpoint,
        "claims": {name: verdict.value for name, verdict in stored.claims.items()},
        "measured": stored.measured,
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
    if finding.measured:
        changed = ", ".join(changes(stored.measured, finding.measured)) or "nothing that is recorded"
        lines.append(f"changed since: {changed}")
    return "\n".join(lines)


def other_circumstances(finding: Finding, stored: Stored) -> str:
    """Why a finding can't be held against the stored verdicts, or nothing."""
    if not stored.measured or not finding.measured:
        return ""
    return incomparable(_plain(stored.measured), _plain(finding.measured)).replace("the baseline", FILE)


def update(stored: Stored, finding: Finding, mode: UpdateMode) -> bool:
    """Take a verdict in as ``--dit-baseline-update`` says; True where anything changed.

    ``missing`` adds a claim that has none, ``changed`` and ``all`` replace it, too. Raises BaselineError where verdicts
    that were measured with other prompts, another judge or other sampling would get into one file.
    """
    expected = stored.claims.get(finding.claim)
    if expected is finding.verdict or not mode.writes(stored=expected is not None, red=True):
        return False
    if finding.measured:
        refuse_mixing(stored.path, _plain(stored.measured), _plain(finding.measured))
    stored.claims[finding.claim] = finding.verdict
    stored.measured = _plain(finding.measured) or stored.measured
    return True


def _plain(measured: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON would give it back, so that what was read compares with what was measured."""
    plain: dict[str, Any] = json.loads(json.dumps(measured))
    return plain
