"""Expected verdicts: ``baselines/<checkpoint>/findings.json``, without which no claim can fail a run.

A verdict that was measured with other prompts, another judge or other sampling can't be compared with this run's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BaselineError
from harness.files import parse_json, write_atomically
from harness.findings.claim import ClaimVerdict, Finding
from harness.gates.rigour import EXPLORE, Rigour
from harness.gates.update import UpdateMode, refuse_mixing
from harness.results.fingerprint import BaselineFacts, changes, facts_digest, incomparable
from harness.results.serialise import checked_schema, empty_as_none, from_plain, to_plain

_SCHEMA = 1
FILE = "findings.json"


@dataclass
class ExpectedVerdicts:
    """The expected verdicts of one checkpoint.

    ``claims`` maps a claim's id to its verdict, ``measured`` holds the circumstances, as a baseline's facts do; None
    where none of the verdicts rests on a measurement.
    """

    path: Path
    checkpoint: str
    claims: dict[str, ClaimVerdict] = field(default_factory=dict[str, ClaimVerdict])
    measured: BaselineFacts | None = None
    signed: bool = True  # False where the file has no digest of its facts, which an update adds


@dataclass(frozen=True)
class ExpectedFile:
    """The file as it is laid out."""

    checkpoint: str
    claims: Mapping[str, ClaimVerdict]
    measured: BaselineFacts | None
    facts_digest: str = ""


def load(folder: Path, checkpoint: str, *, unsigned: bool = False) -> ExpectedVerdicts:
    """The verdicts under a baselines folder; none of them where there is no file.

    Raises BaselineError, naming the file, where it is unreadable, no JSON, of another schema or another checkpoint, or
    has a claim twice, and where its facts were edited. ``unsigned``: a file without the digest that shows it is read
    all the same.
    """
    path = folder / checkpoint / FILE
    fix = "restore it from git, or move it away and run with --dit-baseline-update=all"
    if not path.exists():
        return ExpectedVerdicts(path, checkpoint)
    try:
        data = checked_schema(parse_json(path.read_text(encoding="utf-8"), unique=True), _SCHEMA)
        content = from_plain(ExpectedFile, empty_as_none(data, "measured"))
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path} can't be read as expected verdicts: {error}; {fix}") from None
    if content.checkpoint != checkpoint:
        raise BaselineError(f"{path} belongs to checkpoint {content.checkpoint!r}, not {checkpoint!r}; {fix}")
    if content.facts_digest != _digest(checkpoint, content.measured) and not (unsigned and not content.facts_digest):
        what = "its facts (prompts, judge ...) were edited" if content.facts_digest else "it has no digest of its facts"
        fix = fix if content.facts_digest else "--dit-baseline-update=missing adds it"
        raise BaselineError(f"{path} can't be read as expected verdicts: {what}; {fix}")
    return ExpectedVerdicts(path, checkpoint, dict(content.claims), content.measured, bool(content.facts_digest))


def _digest(checkpoint: str, measured: BaselineFacts | None) -> str:
    return facts_digest(measured, checkpoint)


def dump(expected: ExpectedVerdicts) -> str:
    """The file's text: sorted, one line a claim."""
    data = {
        "schema": _SCHEMA,
        "checkpoint": expected.checkpoint,
        "claims": to_plain(expected.claims),
        "facts_digest": _digest(expected.checkpoint, expected.measured),
        "measured": {} if expected.measured is None else to_plain(expected.measured, sparse=True),
    }
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


def save(expected: ExpectedVerdicts) -> None:
    """Write the file whole or not at all. Raises HarnessError where it can't be written."""
    write_atomically(expected.path, dump(expected))


def check(finding: Finding, expected: ExpectedVerdicts, rigour: Rigour = Rigour.USUAL) -> str | None:
    """The failure message where a finding's verdict isn't the stored one, or can't be compared with it; else None.

    Verdicts that were measured otherwise are a failure unless ``rigour`` is lenient, and without a stored verdict a
    strict run fails.
    """
    verdict = expected.claims.get(finding.claim)
    if verdict is None:
        strict = rigour is Rigour.STRICT
        return f"{finding.id}: missing: {expected.path} has no verdict of it, and the run is strict" if strict else None
    if why := _other_circumstances(finding, expected):
        return None if rigour is Rigour.LENIENT else f"{finding.id}: incomparable: {why}; {EXPLORE}"
    if verdict == finding.verdict:
        return None
    lines = [f"{finding.id}: {finding.verdict.value}, where {verdict} is stored", f"claim: {finding.statement}"]
    lines.append(f"decisive: {finding.because}")
    if finding.measured is not None:
        changed = ", ".join(changes(expected.measured, finding.measured)) or "nothing that is recorded"
        lines.append(f"changed since: {changed}")
    return "\n".join(lines)


def _other_circumstances(finding: Finding, expected: ExpectedVerdicts) -> str:
    """Why a finding can't be compared with the stored verdicts; empty where it can."""
    if finding.measured is None:
        return ""
    return incomparable(expected.measured, finding.measured).replace("the baseline", FILE)


def update(expected: ExpectedVerdicts, finding: Finding, mode: UpdateMode) -> bool:
    """Store a finding's verdict as ``--dit-baseline-update`` says; True where anything changed.

    ``missing`` adds a claim that has none, ``changed`` and ``all`` replace it, too. Raises BaselineError where verdicts
    that were measured with other prompts, another judge or other sampling would get into one file.
    """
    verdict = expected.claims.get(finding.claim)
    if verdict is finding.verdict and not expected.signed:
        return True  # to be written with its digest
    if verdict is finding.verdict or not mode.writes(stored=verdict is not None, red=True):
        return False
    if finding.measured is not None:
        refuse_mixing(expected.path, expected.measured, finding.measured)
    expected.claims[finding.claim] = finding.verdict
    expected.measured = finding.measured or expected.measured
    return True
