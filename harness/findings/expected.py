"""Expected verdicts: ``baselines/<checkpoint>/findings.json``, without which no claim can fail a run.

A verdict that was measured with other prompts, another judge or other sampling can't be compared with this run's.
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

_SCHEMA = 1
FILE = "findings.json"


@dataclass
class ExpectedVerdicts:
    """The expected verdicts of one checkpoint.

    ``claims`` maps a claim's id to its verdict, ``measured`` holds the circumstances, as a baseline's facts do.
    """

    path: Path
    checkpoint: str
    claims: dict[str, ClaimVerdict] = field(default_factory=dict[str, ClaimVerdict])
    measured: dict[str, Any] = field(default_factory=dict[str, Any])


def load(folder: Path, checkpoint: str) -> ExpectedVerdicts:
    """The verdicts under a baselines folder; none of them where there is no file.

    Raises BaselineError, naming the file, where it is unreadable, no JSON, of another schema or another checkpoint.
    """
    path = folder / checkpoint / FILE
    mend = "restore it from git, or move it away and run with --dit-baseline-update=all"
    if not path.exists():
        return ExpectedVerdicts(path, checkpoint)
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=no_constant)
        if data["schema"] != _SCHEMA:
            raise BaselineError(f"{path} has schema {data['schema']!r}, this version reads {_SCHEMA}; {mend}")
        if data["checkpoint"] != checkpoint:
            raise BaselineError(f"{path} belongs to checkpoint {data['checkpoint']!r}, not {checkpoint!r}; {mend}")
        claims = {str(name): ClaimVerdict(text(verdict)) for name, verdict in data["claims"].items()}
        return ExpectedVerdicts(path, checkpoint, claims, dict(data["measured"]))
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(f"{path} can't be read as expected verdicts: {error!r}; {mend}") from None


def _dump(expected: ExpectedVerdicts) -> str:
    """The file's text: sorted, one line a claim."""
    data = {
        "schema": _SCHEMA,
        "checkpoint": expected.checkpoint,
        "claims": {name: verdict.value for name, verdict in expected.claims.items()},
        "measured": expected.measured,
    }
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


def save(expected: ExpectedVerdicts) -> None:
    """Write the file whole or not at all. Raises HarnessError where it can't be written."""
    write_atomically(expected.path, _dump(expected))


def check(finding: Finding, expected: ExpectedVerdicts) -> str | None:
    """The failure message where a finding's verdict isn't the stored one; None where it is, or none is comparable."""
    verdict = expected.claims.get(finding.claim)
    if verdict in (None, finding.verdict) or _other_circumstances(finding, expected):
        return None
    lines = [f"{finding.id}: {finding.verdict.value}, where {verdict} is stored", f"claim: {finding.statement}"]
    lines.append(f"decisive: {finding.because}")
    if finding.measured:
        changed = ", ".join(changes(expected.measured, finding.measured)) or "nothing that is recorded"
        lines.append(f"changed since: {changed}")
    return "\n".join(lines)


def _other_circumstances(finding: Finding, expected: ExpectedVerdicts) -> str:
    """Why a finding can't be compared with the stored verdicts; empty where it can."""
    if not expected.measured or not finding.measured:
        return ""
    return incomparable(_plain(expected.measured), _plain(finding.measured)).replace("the baseline", FILE)


def update(expected: ExpectedVerdicts, finding: Finding, mode: UpdateMode) -> bool:
    """Store a finding's verdict as ``--dit-baseline-update`` says; True where anything changed.

    ``missing`` adds a claim that has none, ``changed`` and ``all`` replace it, too. Raises BaselineError where verdicts
    that were measured with other prompts, another judge or other sampling would get into one file.
    """
    verdict = expected.claims.get(finding.claim)
    if verdict is finding.verdict or not mode.writes(stored=verdict is not None, red=True):
        return False
    if finding.measured:
        refuse_mixing(expected.path, _plain(expected.measured), _plain(finding.measured))
    expected.claims[finding.claim] = finding.verdict
    expected.measured = _plain(finding.measured) or expected.measured
    return True


def _plain(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The circumstances after a round trip through JSON, so that measured ones compare with those of a file."""
    plain: dict[str, Any] = json.loads(json.dumps(measured))
    return plain
