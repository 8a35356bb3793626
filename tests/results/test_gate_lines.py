"""What stands under a table about its gates: the tolerances in force, and why nothing was compared."""

from __future__ import annotations

from dataclasses import replace

from harness.report.ranking_files import write_ranking
from harness.report.ranking_terminal import render
from harness.results.gate_lines import gate_lines
from harness.results.records import Check, Status, Verdict
from tests.helpers.records import quality


def record(name, verdict):
    return replace(quality(name, 0.5), verdict=verdict)


def checked(*sources):
    checks = tuple(Check(metric, 1.0, 1.0, 0.1, Status.OK, source) for metric, source in sources)
    return Verdict(Status.OK, checks)


def test_the_tolerances_in_force_are_named_with_their_figures():
    records = [
        record("skip", checked(("harm", "noise floor"), ("latent_drift", "noise floor"), ("fid_ratio", "t.toml"))),
        record("swap", checked(("harm", "noise floor"), ("collapsed", "t.toml"))),
    ]
    assert gate_lines(records) == (
        "tolerances in force: noise floor (harm, latent drift); t.toml (fid ratio, collapsed)",
    )


def test_why_nothing_was_compared_is_said_once_in_every_report(tmp_path):
    verdict = Verdict(Status.INCOMPARABLE, notes=("measured with other prompts than the baseline",))
    records = [record("skip", verdict), record("swap", verdict)]
    line = "not compared with stored values: measured with other prompts than the baseline (2 records, incomparable)"
    assert gate_lines(records) == (line,)
    assert render(records, 200, colour=False).count(line) == 1
    write_ranking(tmp_path, records)
    assert (tmp_path / "ranking.md").read_text().count(line) == 1
    assert line in (tmp_path / "ranking.json").read_text()
