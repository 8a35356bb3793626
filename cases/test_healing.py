"""Claims about healed models (docs/healing.md): one trains twelve models, a quarter of an hour on one free core.

Runs only when asked for: this file on the command line, or ``-k healing``.
"""

import pytest

pytestmark = [pytest.mark.dit_on_request("healing"), pytest.mark.dit_findings("bundled", "healing")]


def test_finding(finding):
    """The verdict of one claim on one model; it fails where another one is stored in ``findings.json``."""
    finding.check()
