"""Stored verdicts: a claim fails only where another verdict is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import BaselineError
from harness.findings import expected as stored
from harness.findings.claim import ClaimVerdict, judge
from harness.gates.update import UpdateMode
from tests.helpers.studies import CLAIMS, Made, parts


def test_a_verdict_fails_only_where_another_one_is_stored(tmp_path):
    finding = judge(CLAIMS["B4"], Made("flux", parts(skip=0.2)))
    expected = stored.load(tmp_path, finding.checkpoint)
    assert stored.check(finding, expected) is None  # nothing is stored
    assert stored.update(expected, finding, UpdateMode.MISSING)
    stored.save(expected)
    read = stored.load(tmp_path, finding.checkpoint)
    assert read == expected
    assert read.claims == {"B4": ClaimVerdict.SUPPORTED}
    assert read.path == tmp_path / "flux-made" / "findings.json"
    assert stored.check(finding, read) is None
    other = judge(CLAIMS["B4"], Made("flux", parts(skip=0.8)))
    message = stored.check(other, read)
    assert message.splitlines()[0] == "flux-made-B4: contradicted, where supported is stored"
    assert f"decisive: {other.decisive}" in message
    assert "0.5" in message
    elsewhere = replace(other, measured={**other.measured, "prompts": "q"})
    assert stored.check(elsewhere, read) is None
    with pytest.raises(BaselineError, match=r"is not updated: this run is measured with other prompts"):
        stored.update(read, elsewhere, UpdateMode.ALL)
    assert not stored.update(read, other, UpdateMode.MISSING)
    assert stored.update(read, other, UpdateMode.CHANGED)
    assert not stored.update(read, other, UpdateMode.ALL)
    assert stored.check(other, read) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "can't be read"),
        ("[]", "can't be read"),
        ('{"schema": 2}', "has schema 2, this version reads 1"),
        (
            '{"schema": 1, "checkpoint": "x", "claims": {}, "measured": {}}',
            "belongs to checkpoint 'x', not 'flux-made'",
        ),
        (
            '{"schema": 1, "checkpoint": "flux-made", "claims": {"B2": "maybe"}, "measured": {}}',
            "'maybe' is not a valid ClaimVerdict",
        ),
    ],
)
def test_a_damaged_file_of_verdicts_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "flux-made" / "findings.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(BaselineError, match=message) as caught:
        stored.load(tmp_path, "flux-made")
    assert str(path) in str(caught.value)
