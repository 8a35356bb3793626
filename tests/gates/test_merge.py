"""Baseline files that the shards of a run stored, put together."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BaselineError, HarnessError
from harness.gates import baselines
from harness.gates.baselines import Baseline, Calibration, ControlFigures, Entry
from harness.gates.merge import merge_folders, merged
from harness.results.fingerprint import facts
from tests.helpers.records import FINGERPRINT

FACTS = facts(FINGERPRINT)
CALIBRATION = Calibration(("batch",), 2.0, {"harm": 1.0}, "cpu", "AVX512", 2, {}, {"batch": "a"})


def stored(folder, cases, *, control=(), seed_sd=1.5, latents=None, facts_=FACTS, calibration=None):
    return Baseline(
        path=folder / "m" / "cpu-float32.json",
        checkpoint="m",
        device="cpu",
        dtype="float32",
        facts=facts_,
        control=ControlFigures(seed_sd, dict(control)),
        cases={case: {"harm": Entry(value, 16, tolerance=floor)} for case, (value, floor) in cases.items()},
        latents=latents or {case: ("f" * 12, case) for case in cases},
        calibration=calibration,
    )


def put(baseline):
    baseline.path.parent.mkdir(parents=True, exist_ok=True)
    baselines.save(baseline)
    return baseline.path.parents[1]


def test_from_nothing_the_parts_are_the_whole(tmp_path):
    """Bitwise what one run would have stored."""
    whole = {f"m-s-L{i:02}-skip": (float(i), None) for i in range(5)}
    everything = facts(FINGERPRINT, "c" * 64)
    names = list(whole)
    first = stored(tmp_path / "1", {n: whole[n] for n in names[::2]}, control={"score": 30.0}, facts_=everything)
    second = stored(tmp_path / "2", {n: whole[n] for n in names[1::2]})
    target = tmp_path / "baselines"
    assert merge_folders(target, [put(second), put(first)]) == [target / "m" / "cpu-float32.json"]
    one = stored(tmp_path / "one", whole, control={"score": 30.0}, facts_=everything)
    assert (target / "m" / "cpu-float32.json").read_text() == baselines.dump(one)
    assert merge_folders(target, [target]) == []


def test_only_what_a_part_changed_is_taken(tmp_path):
    before = {"a": (1.0, None), "b": (2.0, None), "c": (3.0, 0.5)}
    target = put(stored(tmp_path / "baselines", before))
    parts = [
        put(stored(tmp_path / "1", before | {"a": (9.0, 0.1)}, calibration=CALIBRATION)),
        put(
            stored(
                tmp_path / "2",
                before | {"b": (8.0, 0.2), "d": (4.0, None)},
                calibration=replace(CALIBRATION, max_t={"harm": 3.0}, arithmetic={"kernel": "b"}),
            )
        ),
        put(stored(tmp_path / "3", before)),
    ]
    merge_folders(target, parts)
    whole = baselines.load(target / "m" / "cpu-float32.json", "m")
    values = {case: (entries["harm"].value, entries["harm"].tolerance) for case, entries in whole.cases.items()}
    assert values == {"a": (9.0, 0.1), "b": (8.0, 0.2), "c": (3.0, 0.5), "d": (4.0, None)}
    assert whole.calibration.max_t == {"harm": 3.0}
    assert whole.calibration.arithmetic == {"batch": "a", "kernel": "b"}


def test_a_figure_that_is_no_more_goes(tmp_path):
    old = stored(tmp_path, {"a": (1.0, None)})
    old.cases["a"]["fid_ratio"] = Entry(1.0, 16)
    new = stored(tmp_path, {"a": (2.0, None)})
    assert set(merged(old, [new, new]).cases["a"]) == {"harm"}


def test_new_circumstances_come_from_the_shard_that_measured_the_control(tmp_path):
    before = {"a": (1.0, None), "b": (2.0, None)}
    old = stored(tmp_path, before, control={"score": 30.0})
    new = replace(FACTS, weights="other")
    first = stored(tmp_path / "1", before | {"a": (3.0, None)}, control={"score": 20.0}, facts_=new)
    second = stored(tmp_path / "2", before | {"b": (4.0, None)}, control={"score": 30.0})
    for parts in ([first, second], [second, first]):
        whole = merged(old, parts)
        assert (whole.facts, whole.control.others) == (new, {"score": 20.0})
        assert {case: entries["harm"].value for case, entries in whole.cases.items()} == {"a": 3.0, "b": 4.0}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"cases": {"a": (2.0, None)}}, "has a harm otherwise than another shard"),
        ({"seed_sd": 2.0}, r"their units of harm are 1\.5 and 2\.0"),
        ({"facts_": replace(FACTS, prompts="q")}, "measured with other prompts each"),
        ({"facts_": replace(FACTS, versions={"torch": "3"})}, r"torch 2\.15\.0 -> 3"),
    ],
)
def test_parts_that_dont_fit_together(other, said, tmp_path):
    first = stored(tmp_path / "1", {"a": (1.0, None)})
    second = stored(tmp_path / "2", **{"cases": {"b": (2.0, None)}, **other})
    with pytest.raises(BaselineError, match=said):
        merged(None, [first, second])


def test_other_files_come_from_the_one_shard_that_changed_them(tmp_path):
    target, one, two = (tmp_path / name / "baselines" for name in ("0", "1", "2"))
    for folder in (target, one, two):
        (folder / "m").mkdir(parents=True)
        (folder / "m" / "findings.json").write_text("{}")
    (one / "m" / "findings.json").write_text('{"claims": 1}')
    assert merge_folders(target, [one, two]) == [target / "m" / "findings.json"]
    assert json.loads((target / "m" / "findings.json").read_text()) == {"claims": 1}
    (two / "m" / "findings.json").write_text('{"claims": 2}')
    (one / "m" / "findings.json").write_text('{"claims": 3}')
    with pytest.raises(BaselineError, match="are both changed, and differ"):
        merge_folders(target, [one, two])
    (one / "m" / "findings.json").write_text("{")
    with pytest.raises(HarnessError, match=r"can't be read: .*; restore it"):
        merge_folders(target, [one, two])


def test_the_stored_file_of_a_bundled_model_survives(tmp_path):
    """Split into two and put together it is the same file, byte for byte."""
    own = Path(__file__).parents[2] / "baselines" / "flux-tiny" / "cpu-float32.json"
    whole = baselines.load(own, "flux-tiny")
    parts = []
    for number in (0, 1):
        cases = dict(sorted(whole.cases.items())[number::2])
        latents = dict(sorted(whole.latents.items())[number::2])
        path = tmp_path / str(number) / "flux-tiny" / own.name
        path.parent.mkdir(parents=True)
        baselines.save(replace(whole, path=path, cases=cases, latents=latents))
        parts.append(path.parents[1])
    merge_folders(tmp_path / "target", parts)
    assert (tmp_path / "target" / "flux-tiny" / own.name).read_text() == baselines.dump(whole)
    shutil.rmtree(tmp_path / "0")
