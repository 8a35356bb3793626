"""Findings as JSON: any data is a finding or refused by the place of what is wrong."""

from __future__ import annotations

import json

from hypothesis import given

from harness.errors import DataError
from harness.findings.claim import ClaimVerdict, Finding, from_json
from harness.findings.questions import Condition, Direction, Either
from harness.results.fingerprint import facts
from harness.results.statistics import Interval
from tests.helpers import hostile
from tests.results.test_records import FINGERPRINT

ONE = Condition("harm", Interval(1.0, 0.5, float("inf")), Direction.LESS, 2.0, "sd")
TWO = Condition("drift", Interval(float("nan"), 0.0, 1.0), Direction.AT_LEAST, 0.0, "")
FINDING = Finding(
    "B2",
    "the statement",
    "the source",
    "flux-tiny",
    ClaimVerdict.UNDECIDED,
    (ONE, Either(((ONE, TWO), (TWO,)))),
    measured=facts(FINGERPRINT),
)


TWO_PLAIN = {
    "what": "drift",
    "value": ["nan", 0.0, 1.0],
    "direction": "at least",
    "threshold": 0.0,
    "unit": "",
    "answer": "holds",
}


def test_a_finding_is_written_as_documented():
    data = json.loads(json.dumps(FINDING.to_json(), allow_nan=False))
    assert list(data) == ["claim", "statement", "source", "checkpoint", "verdict", "conditions", "reason", "measured"]
    assert data["conditions"][0] == {
        "what": "harm",
        "value": [1.0, 0.5, "inf"],
        "direction": "less than",
        "threshold": 2.0,
        "unit": "sd",
        "answer": "open",
    }
    assert data["conditions"][1] == {"any_of": [[data["conditions"][0], TWO_PLAIN], [TWO_PLAIN]]}
    assert "control_latents" not in data["measured"]
    again = from_json(data)
    assert again.to_json() == FINDING.to_json()
    assert again.measured == FINDING.measured


def test_a_finding_that_rests_on_nothing_comes_back():
    finding = Finding("B2", "s", "o", "m", ClaimVerdict.NOT_APPLICABLE, reason="about another family")
    assert finding.to_json()["measured"] == {}
    assert from_json(finding.to_json()) == finding


@given(hostile.documents(FINDING.to_json()))
def test_any_data_is_a_finding_or_refused(data):
    said = "finding"
    try:
        assert isinstance(from_json(data), Finding)
    except DataError as error:
        said = str(error)
    assert said.startswith("finding")
