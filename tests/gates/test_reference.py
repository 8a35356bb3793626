"""Which stored values apply, whether their noise floors do, and what is said of it before the first test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.gates import baselines
from harness.gates.baselines import Baseline, Calibration, ControlFigures, Entry, Mode
from harness.gates.reference import control_may_be_stored, find_reference, reference_for
from harness.gates.rigour import Rigour
from harness.results.fingerprint import facts
from tests.helpers.records import FINGERPRINT

HERE = replace(FINGERPRINT, arithmetic="d" * 12)
CASE = "m-s-skip"


@pytest.fixture
def folder(tmp_path):
    arithmetic = {"unperturbed": "d" * 12, "cpu=avx2": "e" * 12}
    stored = Baseline(tmp_path / "m" / "cpu-float32.json", "m", "cpu", "float32", facts(HERE), ControlFigures(1.0))
    stored.cases = {CASE: {"harm": Entry(1.0, 16, 0.001, 0.5, Mode(1.1, ("cpu=avx2",)))}}
    stored.calibration = Calibration(("cpu=avx2",), 2.0, {"harm": 1.0}, "p", "AVX512", 2, {}, arithmetic)
    baselines.save(stored)
    return tmp_path


def found(folder, fingerprint=HERE, **options):
    return find_reference(folder, fingerprint, **options)


def harm(reference):
    return reference.baseline.cases[CASE]["harm"]


@pytest.mark.parametrize("digest", ["d" * 12, "e" * 12])
@pytest.mark.parametrize("machine", ["", "another processor"])
def test_floors_hold_wherever_the_arithmetic_is_that_of_one_of_their_runs(folder, digest, machine):
    reference = found(folder, replace(HERE, arithmetic=digest, machine=machine))
    assert (harm(reference).tolerance, harm(reference).mode.value) == (0.001, 1.1)
    assert reference.lines() == ["tolerances: the harness's tolerances.toml, narrowed by the noise floors"]


def test_floors_of_other_arithmetic_are_left_out_and_that_is_said(folder):
    reference = found(folder, replace(HERE, arithmetic="f" * 12))
    assert (harm(reference).tolerance, harm(reference).mode, harm(reference).effect) == (None, None, 0.5)
    (line,) = reference.lines()
    assert line == (
        "tolerances: the harness's tolerances.toml alone; the noise floors are of other arithmetic "
        "(dddddddddddd, here ffffffffffff)"
    )


def test_floors_whose_arithmetic_nobody_stored_are_left_out(folder):
    path = folder / "m" / "cpu-float32.json"
    stored = baselines.load(path, "m")
    stored.calibration = replace(stored.calibration, arithmetic={})
    baselines.save(stored)
    assert harm(found(folder)).tolerance is None
    stored.calibration = None
    baselines.save(stored)
    assert found(folder).no_floors.startswith("no noise floors are stored")


def test_another_batch_makes_nothing_incomparable_and_other_prompts_do(folder):
    batch = replace(HERE, sampling={**HERE.sampling, "batch": 8})
    assert found(folder, batch).incomparable == ""
    other = found(folder, replace(HERE, prompts="q", sampling={"steps": 5}))
    assert other.incomparable == "measured with other prompts and sampling than the baseline"
    (line,) = other.lines()
    assert line.startswith("cpu-float32.json does not apply: measured with other prompts and sampling")
    assert line.endswith("every case fails (to explore: --dit-unjudged=ok)")
    lenient = found(folder, replace(HERE, prompts="q"), rigour=Rigour.LENIENT)
    assert lenient.lines()[0].endswith("nothing is judged")


def test_tolerances_are_those_of_the_dtype_and_the_device(folder):
    entry = '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 1\n'
    (folder / "tolerances.toml").write_text(entry + entry + 'dtype = "bfloat16"\n' + entry + 'device = "nvidia-*"\n')
    assert len(found(folder).tolerances) == 1
    assert len(found(folder, replace(HERE, dtype="bfloat16")).tolerances) == 2
    assert found(folder).lines()[0].startswith("tolerances: tolerances.toml, narrowed")


def test_other_weights_under_the_same_name_are_said(folder):
    """Two folders called alike share a folder of baselines."""
    other, usual = found(folder, replace(HERE, weights="v")).lines()
    assert other == (
        "cpu-float32.json was measured with other weights (w, here v); if they are of another folder of this name, "
        "rename one: names are folders of baselines"
    )
    assert [usual] == found(folder).lines()


STORED = {
    "seed_sd": 2.0,
    "seed_sd_low": 1.5,
    "seed_sd_high": 2.5,
    "score": 90.0,
    **{f"reseed_{name}": 0.5 for name in ("latent", "mse", "ssim", "image")},
}


@pytest.mark.parametrize(
    ("stored", "now", "options", "takes"),
    [
        ({}, {}, {}, True),
        ({}, {"machine": "another processor", "threads": 7, "capability": "AVX2"}, {}, True),
        ({}, {"weights": "others"}, {}, False),
        ({}, {"versions": {"torch": "another"}}, {}, False),
        ({}, {"perturbed": ("ulp=1",)}, {}, False),
        ({}, {"prompts": "others"}, {}, False),
        ({}, {}, {"updates": True}, False),
        ({}, {}, {"whole_control": True}, False),
        ({"seed_sd_low": None}, {}, {}, False),
        ({"reseed_ssim": None}, {}, {}, False),
    ],
)
def test_the_stored_figures_of_the_control_are_taken_where_nothing_that_decides_them_changed(
    lab, tmp_path, monkeypatch, stored, now, options, takes
):
    fresh = lab.anew()
    path = tmp_path / "flux-tiny" / f"{lab.fingerprint.device}-float32.json"
    figures = {name: value for name, value in {**STORED, **stored}.items() if value is not None}
    baselines.save(
        Baseline(
            path,
            "flux-tiny",
            lab.fingerprint.device,
            "float32",
            facts(lab.fingerprint),
            ControlFigures.of(figures),
            {CASE: {"harm": Entry(1.0, 8)}},
        )
    )
    vars(fresh)["fingerprint"] = replace(lab.fingerprint, **now)
    taken = []
    monkeypatch.setattr(fresh, "take_control", taken.append)
    assert control_may_be_stored(path)
    assert not control_may_be_stored(path.with_stem("nvidia-h200-float32"))
    reference_for(fresh, tmp_path, **options)
    assert taken == ([figures] if takes else [])


def test_a_metric_of_another_model_needs_all_seeds(lab, tmp_path, monkeypatch):
    fresh = lab.anew()
    fingerprint = replace(lab.fingerprint, metrics={"lpips": "alex 1"})
    path = tmp_path / "flux-tiny" / f"{fingerprint.device}-float32.json"
    stored = Baseline(path, "flux-tiny", fingerprint.device, "float32", facts(fingerprint), ControlFigures.of(STORED))
    baselines.save(stored)
    taken = []
    monkeypatch.setattr(fresh, "take_control", taken.append)
    monkeypatch.setattr(type(fresh.metrics), "need_seeds", lambda _: {"lpips": "alex 2"})
    reference_for(fresh, tmp_path)
    assert taken == []
    monkeypatch.setattr(type(fresh.metrics), "need_seeds", lambda _: {"lpips": "alex 1"})
    reference_for(fresh, tmp_path)
    assert taken == [STORED]
