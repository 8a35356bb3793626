"""``index.html`` of a run folder (tests/e2e/test_report_in_browser.py opens it in a browser)."""

from __future__ import annotations

import json
import re

import pytest

from harness.errors import HarnessError
from harness.findings.claim import ClaimVerdict, Finding
from harness.report.html.report_page import report_html, write_report
from harness.report.ranking_files import write_ranking
from harness.results.fingerprint import facts
from harness.results.ranking import rank
from tests.helpers.records import FINGERPRINT
from tests.helpers.runs import pictures, small_run


def shown(text):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL).group(1)
    )


def page(folder, **options):
    records = small_run()
    return report_html(folder, records, rank(records), **options)


def test_the_page_is_the_same_for_the_same_run_and_names_it(tmp_path):
    text = page(tmp_path)
    assert text == page(tmp_path)
    assert "<title>Ablations of m</title>" in text
    assert "20261122-night" in text
    assert text.count("<section") == 6


def test_pictures_analyses_claims_and_files_beside_it_are_found(tmp_path):
    pictures(tmp_path, small_run())
    analysis = tmp_path / "analysis" / "m"
    analysis.mkdir(parents=True)
    for name in ("figures.html", "analysis.md", "vitality.png"):
        (analysis / name).write_text("")
    finding = Finding("B2", "statement", "source", "m", ClaimVerdict.NOT_APPLICABLE, reason="why")
    (tmp_path / "findings.jsonl").write_text(json.dumps(finding.to_json()) + "\n")
    (tmp_path / "ranking.md").write_text("")
    text = page(tmp_path)
    data = shown(text)
    assert data["analyses"] == [{"name": "m", "figures": ["vitality.png"], "pages": ["figures.html", "analysis.md"]}]
    assert data["findings"][0]["because"] == "why"
    assert data["files"] == ["ranking.md", "findings.jsonl"]
    assert [case["pictures"] != {} for case in data["cases"]].count(True) == 8  # seven variants and the control
    assert text.count("<section") == 8


def test_claims_alone_make_a_page_with_their_circumstances_and_commands(tmp_path):
    finding = Finding(
        "B2",
        "</script><script>alert(1)</script>",
        "https://example.invalid/x",
        "m",
        ClaimVerdict.UNDECIDED,
        reason="open",
        measured=facts(FINGERPRINT),
        nodeid="cases/test_findings.py::test_finding[m-B2]",
    )
    (tmp_path / "findings.jsonl").write_text(json.dumps(finding.to_json()) + "\n")
    (path,) = write_ranking(tmp_path, [])
    assert path == tmp_path / "index.html"
    text = path.read_text()
    assert "<title>Published claims on m</title>" in text
    assert text.count("</script>") == 3
    data = shown(text)
    (claims,) = data["claims"]
    assert claims["summary"] == "1 undecided"
    assert ["weights", FINGERPRINT.weights] in claims["environment"]
    assert data["findings"][0]["command"] == "pytest 'cases/test_findings.py::test_finding[m-B2]'"
    assert data["findings"][0]["statement"] == "</script><script>alert(1)</script>"
    assert data["files"] == ["findings.jsonl"]
    assert re.findall(r'<section class="card" id="(\w+)"', text) == ["verdict", "findings", "environment"]


def test_claims_that_can_not_be_read_are_a_line(tmp_path):
    (tmp_path / "findings.jsonl").write_text("{}\n")
    said = []
    assert shown(page(tmp_path, problem=said.append))["findings"] == []
    assert said == [f"can't read {tmp_path}/findings.jsonl: finding.claim is missing"]


def test_a_page_that_can_not_be_written_is_a_line(tmp_path):
    (tmp_path / "index.html" / "inside").mkdir(parents=True)
    records = small_run()
    said = []
    assert write_report(tmp_path, records, rank(records), said.append) == []
    assert said[0].startswith(f"can't write {tmp_path}/index.html: ")
    with pytest.raises(HarnessError, match=r"can't write .*index\.html"):
        write_report(tmp_path, records, rank(records))


def test_a_prompt_kept_by_anybody_is_escaped(tmp_path):
    pictures(tmp_path, small_run())
    (tmp_path / "images" / "m-prompts.json").write_text(json.dumps(["</script><script>alert(1)</script>"]))
    records = small_run()[1:]
    text = report_html(tmp_path, records, rank(records))
    assert text.count("</script>") == 3
    assert shown(text)["groups"][0]["texts"] == ["</script><script>alert(1)</script>"]
