"""plotly.js inside a page: whole, and allowed by its hash."""

from __future__ import annotations

import base64
import gzip
import hashlib

from plotly.offline import get_plotlyjs

from harness.report.html.plotly_library import plotly_library, script_policy


def test_it_is_the_installed_one_and_the_hash_is_its_own():
    library = plotly_library()
    script = gzip.decompress(base64.b64decode(library.packed))
    assert script.decode() == get_plotlyjs().replace("\r\n", "\n")
    assert library.policy == f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
    assert len(library.packed) < 2.2e6


def test_another_script_has_another_hash():
    assert script_policy("a") != script_policy("b")
