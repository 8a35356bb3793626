"""Baseline files: read strictly, written whole, compared on both sides, never loosened by themselves."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from harness.errors import BaselineError, HarnessError
from harness.gates import baselines
from harness.gates.baselines import Baseline, Calibration, ControlFigures, Entry, Mode
from harness.gates.tolerances import Tolerance
from harness.gates.update import UpdateMode, store_values
from harness.gates.verdict import accepted, compare
from harness.results.fingerprint import facts
from harness.results.records import Status
from harness.results.serialise import to_plain
from tests.helpers import hostile
from tests.helpers.records import FINGERPRINT

CASE = "flux-tiny-double-L01-skip"
ALL = [Tolerance("*", "harm", 0.05, 0.1, "t")]
TOLERANCES = [Tolerance("flux-*", "harm", 0.05, 0.1, 'tolerances.toml "flux-*"')]


@pytest.fixture
def baseline(tmp_path):
    made = Baseline(tmp_path / "flux-tiny" / "cpu-float32.json", "flux-tiny", "cpu", "float32")
    made.control = ControlFigures(1.5, {"score": 95.0})
    made.facts = facts(FINGERPRINT)
    made.cases = {CASE: {"harm": Entry(0.22, 64), "latent_drift": Entry(0.87, 64)}}
    return made


def test_a_file_reads_back_as_it_was_written(baseline):
    baselines.save(baseline)
    assert baselines.load(baseline.path, "flux-tiny") == baseline


def test_one_line_a_metric(baseline):
    text = baselines.dump(baseline)
    assert '      "harm": {"n": 64, "value": 0.22},' in text.splitlines()
    assert json.loads(text)["cases"][CASE]["latent_drift"]["value"] == 0.87


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t[: len(t) // 2], "can't be read"),
        (lambda _: "", "can't be read"),
        (lambda _: "[]", r"not laid out as one: it is \[\], not an object"),
        (lambda t: t.replace('"schema": 1', '"schema": 99'), "has schema 99"),
        (lambda t: t.replace('"checkpoint": "flux-tiny"', '"checkpoint": "other"'), "belongs to checkpoint 'other'"),
        (lambda t: t.replace("0.22", "NaN"), "NaN is no stored value"),
        (lambda t: t.replace("0.22", '"x"'), rf"not laid out as one: cases\.{CASE}\.harm\.value is 'x', not a number"),
        (lambda t: t.replace('"harm": {', '"harm": {"n": 1, "value": 1.0},\n      "harm": {'), "'harm' is there twice"),
        (lambda t: t.replace('"n": 64', '"n": -1', 1), r"\.n is -1, not a whole number from 0"),
        (
            lambda t: t.replace('"n": 64', '"tolerance": -1.0, "n": 64', 1),
            r"tolerance is -1\.0, not a finite number from",
        ),
        (lambda t: t.replace('"seed_sd": 1.5', '"seed_sd": 0'), r"control\.seed_sd 0\.0, which is the unit of harm"),
        (lambda t: t.replace('"seed_sd": 1.5', '"seed_sd": -1'), r"control\.seed_sd -1\.0, which is the unit of harm"),
        (lambda t: t.replace('"prompts": "p"', '"prompts": "q"'), "was edited: its facts .* are not those"),
        (lambda t: t.replace('"steps": 4', '"steps": 5'), "was edited: its facts"),
        (lambda t: t.replace('"device": "cpu"', '"device": "nvidia-h200"'), "of 'nvidia-h200' and .* is another name"),
        (lambda t: t.replace('"dtype": "float32"', '"dtype": "bfloat16"'), "and 'bfloat16', which is another name"),
        (
            lambda t: re.sub('  "facts_digest": .*\n', "", t),
            "has no digest of its facts; --dit-baseline-update=missing",
        ),
        (lambda t: t.replace('"seed_sd"', '"seed_s"'), r"not laid out as one: control\.seed_sd is missing"),
    ],
    ids=[
        *("cut", "empty", "a list", "another schema", "foreign", "not a number", "text"),
        *("twice", "negative n", "negative tolerance", "unit 0", "unit -1"),
        *("other prompts", "other sampling", "another device", "another dtype", "no digest", "no unit"),
    ],
)
def test_a_broken_file_is_one_clear_error(baseline, damage, message):
    baselines.save(baseline)
    broken = damage(baseline.path.read_text())
    baseline.path.write_text(broken)
    with pytest.raises(BaselineError, match=message) as caught:
        baselines.load(baseline.path, "flux-tiny")
    assert str(baseline.path) in str(caught.value)
    assert baseline.path.read_text() == broken


STORED = sorted(Path(__file__).parents[2].glob("baselines/*/**/cpu-*.json"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: "-".join(path.relative_to(path.parents[2]).parts))
def test_every_file_of_the_repository_comes_back_to_the_byte(path):
    checkpoint = json.loads(path.read_text())["checkpoint"]
    assert baselines.dump(baselines.load(path, checkpoint)).encode() == path.read_bytes()


def test_a_file_with_everything_comes_back(baseline):
    baseline.latents = {CASE: ("0" * 12, "f" * 64)}
    baseline.calibration = Calibration(
        ("ulp=1",), 1.5, {"harm": 17.0}, "a7dc", "AVX512", 2, {"torch": "2.15.0"}, {"unperturbed": "d", "ulp=1": "d"}
    )
    baseline.facts = replace(baseline.facts, control_latents="e" * 64)
    baseline.cases[CASE]["harm"] = Entry(0.22, 64, 0.01, 0.5, Mode(0.25, ("cpu=avx2",)))
    baselines.save(baseline)
    assert baselines.load(baseline.path, "flux-tiny") == baseline
    data = json.loads(baseline.path.read_text())
    assert data["facts"]["control_latents"] == "e" * 64
    assert data["calibration"]["perturbations"] == ["ulp=1"]
    assert "calibration" not in json.loads(baselines.dump(baselines.without_floors(baseline)))


def test_an_update_reads_a_file_without_a_digest_and_no_file_with_a_wrong_one(baseline):
    baselines.save(baseline)
    text = baseline.path.read_text()
    baseline.path.write_text(re.sub('  "facts_digest": .*\n', "", text))
    baselines.save(baselines.load(baseline.path, "flux-tiny", unsigned=True))
    assert baseline.path.read_text() == text
    baseline.path.write_text(text.replace('"prompts": "p"', '"prompts": "q"'))
    with pytest.raises(BaselineError, match="was edited"):
        baselines.load(baseline.path, "flux-tiny", unsigned=True)


def test_the_unit_of_harm_is_the_controls(baseline):
    assert baseline.seed_sd == 1.5
    assert ControlFigures.of({"seed_sd": 2.0, "score": 1.0}).by_name == {"seed_sd": 2.0, "score": 1.0}
    with pytest.raises(BaselineError, match="has no control"):
        _ = replace(baseline, control=None).seed_sd


VALID = {
    "schema": 1,
    "checkpoint": "m",
    "device": "cpu",
    "dtype": "float32",
    "facts": to_plain(facts(FINGERPRINT)),
    "control": {"seed_sd": 1.5, "score": 95.0},
    "cases": {CASE: {"harm": {"n": 64, "value": 0.22, "tolerance": 0.1, "effect": 0.3}}},
    "latents": {CASE: ["0" * 12, "f" * 64]},
    "facts_digest": "",
    "calibration": to_plain(Calibration(("ulp=1",), 1.5, {"harm": 17.0}, "a7dc", "AVX512", 2, {"torch": "2.15.0"})),
}


@given(hostile.texts(VALID))
def test_any_file_is_read_or_refused_by_name(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("m") / "cpu-float32.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    said = str(path)
    try:
        made = baselines.load(path, "m")
        baselines.dump(made)
        assert math.isfinite(made.seed_sd)
    except BaselineError as error:
        said = str(error)
    assert str(path) in said


def test_not_utf8(baseline):
    baselines.save(baseline)
    baseline.path.write_bytes(b"\xff\xfe{")
    with pytest.raises(BaselineError, match="can't be read"):
        baselines.load(baseline.path, "flux-tiny")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (0.22, Status.OK),
        (0.22 + 0.072, Status.OK),
        (0.22 + 0.073, Status.REGRESSION),
        (0.22 - 0.073, Status.STALE),
        (float("nan"), Status.REGRESSION),
        (float("inf"), Status.REGRESSION),
    ],
)
def test_both_sides_of_a_gate(baseline, value, status):
    verdict = compare(CASE, {"harm": value}, baseline.cases[CASE], TOLERANCES)
    assert verdict.status is status


def test_higher_is_better_for_scores(baseline):
    stored = {"score": Entry(95.0, 64)}
    verdict = compare("c", {"score": 90.0}, stored, [], ("score",))
    assert verdict.status is Status.REGRESSION


def test_within_a_tolerance_of_nothing_only_equality_passes(baseline):
    stored, exact = {"collapsed": Entry(0.0, 64)}, [Tolerance("*", "collapsed", 0.0, 0.0, "t")]
    assert compare(CASE, {"collapsed": 0.0}, stored, exact).status is Status.OK
    assert compare(CASE, {"collapsed": 1.0}, stored, exact).status is Status.REGRESSION
    assert compare(CASE, {"collapsed": 1.0}, stored, []).checks == ()  # the tolerances alone say what is a gate


def test_a_missing_entry_is_red(baseline):
    verdict = compare("flux-other", {"harm": 0.1}, {}, TOLERANCES)
    assert verdict.status is Status.MISSING
    assert verdict.status.red


def _entries(values):
    return {metric: Entry(value, 64) for metric, value in values.items()}


@pytest.mark.parametrize(
    ("mode", "value", "written"),
    [("missing", 0.9, False), ("changed", 0.9, True), ("changed", 0.23, False), ("all", 0.23, True)],
)
def test_update_modes(baseline, mode, value, written):
    values = {"harm": value, "latent_drift": 0.87}
    tolerances = [*TOLERANCES, Tolerance("*", "latent_drift", 0.1, 0, "t")]
    verdict = compare(CASE, values, baseline.cases[CASE], tolerances)
    mode = UpdateMode(mode)
    verdict = accepted(verdict, mode)
    assert verdict.status.red == (mode == "missing")
    accept = any(check.status is Status.UPDATED for check in verdict.checks)
    assert store_values(baseline, CASE, _entries(values), mode, accepted=accept) == written
    assert baseline.cases[CASE]["harm"].value == (value if written else 0.22)


def test_a_new_case_is_added_by_missing(baseline):
    values = {"harm": 0.5, "mmd": 0.1, "not-stored": 3.0, "psnr": float("inf")}
    verdict = accepted(compare("new", values, {}, ALL), UpdateMode.MISSING)
    assert verdict.status is Status.UPDATED
    assert store_values(baseline, "new", _entries(values), UpdateMode.MISSING, accepted=True)
    assert set(baseline.cases["new"]) == {"harm", "mmd"}


def test_a_failed_write_leaves_the_old_file(baseline, monkeypatch):
    baselines.save(baseline)
    before = baseline.path.read_text()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.files.os.replace", fail)
    baseline.cases = {}
    with pytest.raises(HarnessError, match="No space left"):
        baselines.save(baseline)
    assert baseline.path.read_text() == before
    assert list(baseline.path.parent.iterdir()) == [baseline.path]


def test_the_folder_is_found_upward(tmp_path):
    (tmp_path / "baselines").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert baselines.find_folder(tmp_path / "a" / "b") == tmp_path / "baselines"


def test_another_device_is_the_second_choice(baseline, tmp_path):
    baselines.save(baseline)

    def chosen(device, dtype):
        return baselines.choose_file(baselines.file_of(tmp_path, "flux-tiny", device, dtype))

    assert chosen("cpu", "float32") == (baseline.path, True)
    assert chosen("nvidia-h200", "float32") == (baseline.path, False)
    assert chosen("cpu", "bfloat16") == (None, False)
