"""Published claims: every one on every bundled model, against the verdict that is stored for it."""

import pytest

pytestmark = pytest.mark.dit_findings("bundled", "blog", "sd35", "pruning")


def test_finding(finding):
    """The verdict of one claim on one model; it fails where another one is stored in ``findings.json``."""
    finding.check()
