"""Claims by name: sets, ids, and what is neither."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.findings import catalogue
from harness.findings.blog import BLOG
from harness.findings.claim import ClaimError
from harness.findings.healing import HEALING
from harness.findings.pruning import PRUNING
from harness.findings.sd35 import SD35
from tests.helpers.studies import CLAIMS


def test_the_catalogue_lists_the_claims_that_there_are():
    for name, claims in (("blog", BLOG), ("sd35", SD35), ("pruning", PRUNING), ("healing", HEALING)):
        references = catalogue.select([name])
        assert [reference.id for reference in references] == [declared.id for declared in claims]
        assert tuple(map(catalogue.load, references)) == claims
    assert len(CLAIMS) == sum(len(claims.ids) for claims in catalogue.SETS.values())


def test_claims_are_selected_by_set_by_id_and_as_they_are():
    own = replace(CLAIMS["B1"], id="X1")
    selected = catalogue.select(["sd35", own, "B9-depth"])
    assert [c.id for c in selected] == [*catalogue.SETS["sd35"].ids, "X1", "B9-depth"]
    assert [catalogue.load(c) for c in selected][-2:] == [own, CLAIMS["B9-depth"]]


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        (
            ["blgo"],
            r"unknown claim or set of claims 'blgo' \(did you mean 'blog'\?\); the sets are blog \(B1 to B19\), sd35",
        ),
        (["c3-Image"], r"'c3-Image' \(did you mean 'C3-image'"),
        (["zzz"], "unknown claim or set of claims 'zzz'; the sets are"),
        (["blog", "B2"], "there are two claims called B2"),
        ([3], "3 is neither a Claim nor the name of one"),
    ],
)
def test_a_wrong_claim_is_one_line_with_the_nearest_names(requested, message):
    with pytest.raises(ClaimError, match=message) as caught:
        catalogue.select(requested)
    assert "\n" not in str(caught.value)
