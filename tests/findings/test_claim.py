"""One's own claims: declared in a few lines, refused where they are none, kept as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from harness.errors import DataError
from harness.findings.claim import ClaimError, ClaimVerdict, Finding, claim, from_json, judge
from harness.findings.definitions import LEVEL
from harness.findings.harm_questions import ablated, mild
from harness.findings.questions import Condition, Direction, Either
from harness.results.fingerprint import facts
from harness.results.statistics import Interval, mean_interval
from tests.helpers import hostile
from tests.helpers.records import FINGERPRINT
from tests.helpers.studies import CLAIMS, Made, parts, recovering

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


def own(**kwargs):
    @claim("X-1", "the last single block can go", source="our notes", **kwargs)
    def last_single(study):
        """Skipping it is mild."""
        return [mild(study, ablated(study, "single", "11", "skip"))]

    return last_single


def test_a_claim_of_ones_own_takes_a_few_lines():
    declared = own(families=("flux",))
    assert (declared.id, declared.comparison) == ("X-1", "Skipping it is mild.")
    finding = judge(declared, Made("flux", parts(skip=0.01)))
    assert (finding.id, finding.verdict) == ("flux-made-X-1", ClaimVerdict.SUPPORTED)
    assert str(finding.decisive).startswith("harm of skip single 11: 0.0151 [0.0075, 0.0230] of")
    assert str(finding.decisive).endswith("of what there is to lose, claimed at most 0.1")
    assert judge(own(why_not=lambda study: "not today"), Made("flux")).reason == "not today"


def test_a_claim_that_is_none_is_refused():
    with pytest.raises(ClaimError, match=r"claim id 'a b': letters, digits"):
        claim("a b", "x", source="y")(lambda study: [])
    with pytest.raises(ClaimError, match="claim X has no comparison"):
        claim("X", "x", source="y")(lambda study: [])
    with pytest.raises(ClaimError, match="claim X has no source"):
        claim("X", "x", source=" ")(test_a_claim_that_is_none_is_refused)

    @claim("X", "x", source="y")
    def nothing(study):
        """Nothing."""
        return []

    with pytest.raises(ClaimError, match="claim X compares nothing on flux-made"):
        judge(nothing, Made("flux"))


def test_a_finding_survives_json():
    for name, made in (
        ("B8", Made("flux", recovering(0.1, 0.9))),
        ("B9", Made("sd3")),
        ("B2", Made("sd3", parts(skip=0.1))),
    ):
        finding = judge(CLAIMS[name], made)
        assert from_json(json.loads(json.dumps(finding.to_json(), allow_nan=False))) == finding
    endless = judge(own(), replace(Made("flux", parts(skip=0.01)), noise=1e6))
    text = json.dumps(
        replace(
            endless, conditions=tuple(replace(c, value=Interval(1.0, -np.inf, np.inf)) for c in endless.conditions)
        ).to_json(),
        allow_nan=False,
    )
    assert from_json(json.loads(text)).conditions[0].value == Interval(1.0, -np.inf, np.inf)
    with pytest.raises(ValueError, match=r"finding\.statement is missing"):
        from_json({"claim": "B2"})


def test_a_real_claim_is_the_paired_test_of_real_harms(flux_study):
    finding = judge(CLAIMS["B4"], flux_study)
    measured = flux_study.lab.run("double: 1-4")[0]
    harm = np.array(measured.values["harm"]) / flux_study.lab.seed_sd
    paired = mean_interval(harm - 0.5 * flux_study.prompt_ignoring_harm, LEVEL)
    expected = (
        ClaimVerdict.SUPPORTED
        if paired.high < 0
        else ClaimVerdict.CONTRADICTED
        if paired.low > 0
        else ClaimVerdict.UNDECIDED
    )
    assert finding.verdict is expected
    assert finding.decisive.value.value == pytest.approx(harm.mean() / flux_study.prompt_ignoring_harm.mean(), rel=1e-4)
    assert finding.measured.prompts == flux_study.lab.fingerprint.prompts
    assert from_json(json.loads(json.dumps(finding.to_json()))).decisive == finding.decisive


def test_a_finding_is_written_as_documented():
    data = json.loads(json.dumps(FINDING.to_json(), allow_nan=False))
    assert list(data) == [
        *("claim", "statement", "source", "checkpoint", "verdict", "conditions", "reason", "measured", "nodeid")
    ]
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
