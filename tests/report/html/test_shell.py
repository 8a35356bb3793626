"""The shell of pages: everything escaped, a policy that allows this page's scripts and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re

from harness.report.html.shell import fragment, render

HOSTILE = "</script><!--<b title=\"x\" onclick='y'>&\u2028\x00"


def scripts(text):
    return re.findall(r"<script[^>]*>(.*?)</script>", text, flags=re.DOTALL)


def test_a_text_is_a_text_wherever_it_stands():
    text = render("base.html.j2", title=HOSTILE, data={HOSTILE: [HOSTILE]})
    assert text.count("</script>") == 2
    assert text.count("<!--") == 0
    assert "<b " not in text
    assert json.loads(scripts(text)[0]) == {HOSTILE: [HOSTILE]}


def test_data_that_is_not_finite_is_null():
    text = render("base.html.j2", title="t", data=[math.nan, math.inf, 1.5])
    assert scripts(text)[0] == "[null,null,1.5]"


def test_the_policy_allows_the_page_s_own_scripts_by_their_hashes_and_nothing_else():
    text = render("base.html.j2", title="t", data=None, plotly=True)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    (_, program) = scripts(text)
    own = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    allowed = re.search(r"script-src ([^;]*);", policy).group(1).split()
    assert f"'sha256-{own}'" in allowed
    assert len(allowed) == 2  # and plotly.js
    assert "default-src 'none'" in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert "http" not in policy
    assert "*" not in policy


def test_a_page_is_the_same_each_time_and_without_plotly_small():
    first, again = (render("base.html.j2", title="t", data=[1]) for _ in range(2))
    assert first == again
    assert len(first) < 30_000


def test_a_fragment_is_escaped_too():
    text = fragment("ranking_table.html.j2", title=HOSTILE, columns=(), rows=(), lines=[HOSTILE])
    assert "<b " not in text.replace("<b>", "")
    assert "&lt;/script&gt;" in text
