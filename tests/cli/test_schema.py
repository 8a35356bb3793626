"""``python -m harness schema``: docs/schemas is what the code says, and real files are valid by it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from harness import sweep
from harness.analysis.lokr.angle_records import AngleRecord
from harness.cli import schema
from harness.cli.main import main
from harness.findings.claim import ClaimVerdict, Finding
from harness.findings.questions import Condition, Direction, Either
from harness.gates import tolerances
from harness.models.checkpoints.resolve import BUNDLED
from harness.report.ranking_files import write_ranking
from harness.results.fingerprint import facts
from harness.results.journal import write_journal
from harness.results.records import Record
from harness.results.statistics import Interval
from harness.surgery.export import export
from tests.helpers import works
from tests.helpers.records import FINGERPRINT, latency, quality, skip

ROOT = Path(__file__).parents[2]
STORED = ROOT / "baselines"


def faults(name, data):
    """What the stored schema says is wrong."""
    stored = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator.check_schema(stored)
    return [f"{list(error.absolute_path)}: {error.message}" for error in Draft202012Validator(stored).iter_errors(data)]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", schema.FILES)
def test_docs_schemas_is_what_the_code_says(name):
    path = ROOT / "docs" / "schemas" / f"{name}.json"
    assert path.read_text() == schema.text(name), "run: python -m harness schema --write docs/schemas"


def test_the_page_of_formats_has_all_of_them():
    text = (ROOT / "docs" / "formats.md").read_text()
    for name, file in schema.FILES.items():
        assert f"[{name}](schemas/{name}.json)" in text
        assert file.where.split(",")[0].split(" ")[0] in text
    assert {path.stem for path in (ROOT / "docs" / "schemas").iterdir()} == set(schema.FILES)


@pytest.mark.parametrize("checkpoint", ["flux-tiny", "sd3-tiny", "auraflow-tiny"])
def test_stored_values_are_valid(checkpoint):
    for path in (STORED / checkpoint / "cpu-float32.json", STORED / checkpoint / "analysis" / "cpu-float32.json"):
        assert faults("baseline", json.loads(path.read_text())) == []
    assert faults("expected-findings", json.loads((STORED / checkpoint / "findings.json").read_text())) == []
    assert faults("groups", json.loads((STORED / checkpoint / "groups.json").read_text())) == []
    assert faults("settings", json.loads((BUNDLED / checkpoint / "harness.json").read_text())) == []


def test_files_that_people_write_are_valid_and_their_slips_are_not():
    for path in (STORED / "tolerances.toml", tolerances.DEFAULTS):
        data = tomllib.loads(path.read_text())
        assert faults("tolerances", data) == []
        data["tolerance"][0]["absolut"] = 1.0
        assert faults("tolerances", data) != []
    listed = json.loads((ROOT / ".github" / "nightly.json").read_text())
    assert faults("nightly", listed) == []
    assert faults("nightly", [{"dtype": "bfloat16"}]) != []
    assert faults("settings", {"steps": "many"}) != []


def test_a_run_is_valid(lab, tmp_path):
    records = list(sweep(lab, strategies="skip", ranges="middle", stacks="double", latency=True, folder=tmp_path))
    records += [*skip("L01", 0.2, 1.1), latency("slow", 0.9), quality("none", float("nan"))]
    records.append(Record.of_control(FINGERPRINT, records[0].verdict, records[0].measurement))
    write_journal(tmp_path, records)
    (journal,) = tmp_path.glob("shard-*.jsonl")
    lines = lines_of(journal)
    assert len(lines) == len(records)
    assert [fault for line in lines for fault in faults("journal", line)] == []
    assert faults("journal", lines[0] | {"schema": 2}) != []
    assert faults("journal", lines[0] | {"kind": "other"}) != []
    write_ranking(tmp_path, records)
    assert faults("ranking", json.loads((tmp_path / "ranking.json").read_text())) == []


def test_findings_with_and_without_a_measurement_are_valid():
    one = Condition("harm", Interval(1.0, 0.5, float("inf")), Direction.LESS, 2.0, "sd")
    about = ("B2", "the statement", "the source", "flux-tiny")
    measured = Finding(*about, ClaimVerdict.SUPPORTED, (one, Either(((one,), (one,)))), measured=facts(FINGERPRINT))
    assert faults("finding", measured.to_json()) == []
    assert faults("finding", Finding(*about, ClaimVerdict.NOT_APPLICABLE, reason="r").to_json()) == []
    assert faults("finding", measured.to_json() | {"verdict": "true"}) != []


def test_work_angles_and_what_is_exported_are_valid(lab, tmp_path):
    work = works.work(latency=True)
    assert faults("work", json.loads(work.to_text())) == []
    assert faults("work", json.loads(replace(work, version=1).to_text()) | {"more": 1}) != []
    assert faults("angles", json.loads(AngleRecord(0.5, (0.1,), (0.2, 0.3)).line())) == []
    export(lab.transformer, ["double: 0-1 3-4"], tmp_path / "out", checkpoint="flux-tiny")
    assert faults("ablation", json.loads((tmp_path / "out" / "ablation.json").read_text())) == []


def test_the_command(tmp_path, capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["journal", "reports/RUN/shard-*.jsonl,", "each", "line"]
    assert main(["schema", "work"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Cases and how they are measured"
    assert main(["schema", "--write", str(tmp_path / "s")]) == 0
    assert {path.stem for path in (tmp_path / "s").iterdir()} == set(schema.FILES)
    assert main(["schema", "work", "--write", str(tmp_path)]) == 4
    assert "leave out the name" in capsys.readouterr().err
