"""Stored verdicts: a claim fails only where another one is stored, and files come back to the byte or are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from harness.errors import BaselineError
from harness.findings import expected as stored
from harness.findings.claim import ClaimVerdict, judge
from harness.gates.rigour import Rigour
from harness.gates.update import UpdateMode
from tests.helpers import hostile
from tests.helpers.studies import CLAIMS, Made, parts

STORED = sorted(Path(__file__).parents[2].glob("baselines/*/findings.json"))


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
    elsewhere = replace(other, measured=replace(other.measured, prompts="q"))
    message = stored.check(elsewhere, read)
    assert message.startswith("flux-made-B4: incomparable: measured with other prompts than findings.json; to explore:")
    assert stored.check(elsewhere, read, Rigour.LENIENT) is None
    unknown = replace(other, claim="B99")
    assert stored.check(unknown, read) is None
    assert "B99: missing: " in stored.check(unknown, read, Rigour.STRICT)
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
        ("[]", r"can't be read as expected verdicts: it is \[\], not an object"),
        ('{"schema": 2}', "has schema 2, this version reads 1"),
        (
            '{"schema": 1, "checkpoint": "x", "claims": {}, "measured": {}}',
            "belongs to checkpoint 'x', not 'flux-made'",
        ),
        (
            '{"schema": 1, "checkpoint": "flux-made", "claims": {"B2": "maybe"}, "measured": {}}',
            r"claims\.B2 is 'maybe', not one of supported, contradicted",
        ),
        ('{"schema": 1, "claims": {"B2": "supported", "B2": "contradicted"}}', "'B2' is there twice"),
    ],
)
def test_a_damaged_file_of_verdicts_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "flux-made" / "findings.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(BaselineError, match=message) as caught:
        stored.load(tmp_path, "flux-made")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.parent.name)
def test_every_file_of_the_repository_comes_back_to_the_byte(path):
    expected = stored.load(path.parents[1], path.parent.name)
    assert expected.claims
    assert stored.dump(expected).encode() == path.read_bytes()


def test_a_file_without_a_measurement_comes_back(tmp_path):
    path = tmp_path / "m" / "findings.json"
    path.parent.mkdir()
    path.write_text('{"schema": 1, "checkpoint": "m", "claims": {"B14": "not applicable"}, "measured": {}}')
    with pytest.raises(BaselineError, match=r"no digest of its facts; --dit-baseline-update=missing adds it"):
        stored.load(tmp_path, "m")
    expected = stored.load(tmp_path, "m", unsigned=True)
    assert expected.measured is None
    assert stored.update(expected, judge(CLAIMS["B14"], Made("flux", parts())), UpdateMode.MISSING)
    path.write_text(stored.dump(expected))
    assert stored.load(tmp_path, "m").claims == {"B14": ClaimVerdict.NOT_APPLICABLE}


def test_facts_that_were_edited_are_refused(tmp_path):
    text = STORED[0].read_text()
    prompts = json.loads(text)["measured"]["prompts"]
    path = tmp_path / STORED[0].parent.name / "findings.json"
    path.parent.mkdir()
    path.write_text(text.replace(prompts, "0" * 12))
    with pytest.raises(BaselineError, match=r"its facts .* were edited; restore it from git"):
        stored.load(tmp_path, path.parent.name)


@given(hostile.texts(json.loads(STORED[0].read_text())))
def test_any_file_is_read_or_refused_by_name(tmp_path_factory, text):
    checkpoint = STORED[0].parent.name
    folder = tmp_path_factory.mktemp("baselines")
    path = folder / checkpoint / "findings.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    said = str(path)
    try:
        stored.dump(stored.load(folder, checkpoint))
    except BaselineError as error:
        said = str(error)
    assert str(path) in said
