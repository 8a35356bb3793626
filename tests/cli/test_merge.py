"""The command that puts shards together: what it writes, and what it refuses."""

from __future__ import annotations

import json

import pytest

from harness.cli.main import main
from harness.findings.claim import ClaimVerdict, Finding
from harness.report.findings_files import read_findings
from harness.results.journal import Journal, Shard, read
from tests.helpers.records import quality


def shards(folder):
    for number, name in ((1, "skip"), (2, "swap")):
        journal = Journal(folder / str(number), Shard(number, 2))
        journal.append(quality(name, float(number)))
        journal.close()
        journal.say_complete()
    return [str(folder / "1"), str(folder / "2")]


def test_the_parts_become_one_ranked_run(tmp_path, capsys):
    parts, out = shards(tmp_path), tmp_path / "whole"
    pictures = tmp_path / "2" / "images"
    pictures.mkdir()
    (pictures / "m-s-swap.txt").write_text("a picture")
    finding = Finding("X1", "it can go", "our notes", "m", ClaimVerdict.NOT_APPLICABLE, (), "about another model")
    (tmp_path / "1" / "findings.jsonl").write_text(json.dumps(finding.to_json()) + "\n")
    assert main(["merge", *parts, "--out", str(out)]) == 0
    assert "least harmful variant: m" in capsys.readouterr().out
    assert [record.strategy for record in read(out)] == ["skip", "swap"]
    assert {record.run for record in read(out)} == {"whole"}
    assert (out / "images" / "m-s-swap.txt").read_text() == "a picture"
    assert read_findings(out, pytest.fail) == [finding]
    assert "about another model" in (out / "findings.md").read_text()
    assert len(json.loads((out / "ranking.json").read_text())[0]["rows"]) == 2


def test_a_run_is_never_written_over(tmp_path, capsys):
    parts = shards(tmp_path)
    assert main(["merge", *parts, "--out", parts[0]]) == 4
    assert "holds a run already; give --out another folder" in capsys.readouterr().err


def test_a_missing_part_is_named(tmp_path, capsys):
    assert main(["merge", shards(tmp_path)[1], "--out", str(tmp_path / "whole")]) == 4
    assert "of 2 shards, 1 is missing" in capsys.readouterr().err
    assert not (tmp_path / "whole").exists()
