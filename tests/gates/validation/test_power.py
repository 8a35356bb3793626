"""The gates under known faults: what must be seen is seen, and what isn't is said."""

from __future__ import annotations

import pytest

from harness.ablation.grid import Ask, expand, from_id, in_part
from harness.errors import BaselineError
from harness.gates import baselines
from harness.gates.baselines import Baseline, ControlFigures, Entry
from harness.gates.tolerances import Tolerance
from harness.gates.validation.faults import FAULTS
from harness.gates.validation.power import SENSITIVITY_FAULT, examine, insensitive, store_effects
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.report.power_page import markdown
from harness.results.columns import gated
from harness.results.fingerprint import facts
from harness.results.rounding import rounded

TOLERANCES = [Tolerance("*", "harm", 0.01, 0.002, "t"), Tolerance("*", "latent_drift", 0.002, 0.002, "t")]
NAMED = {m.name: m for m in FAULTS}


@pytest.fixture(scope="module")
def lab():
    return Lab(resolve("flux-tiny"), prompts=(BUNDLED / "prompts.txt").read_text().splitlines()[:4])


@pytest.fixture(scope="module")
def cases(lab):
    stacks = lab.checkpoint.stacks
    return expand("flux-tiny", stacks, [Ask(("double",), ("middle",), ("skip", "reverse", "parallel.t3"))])


@pytest.fixture
def baseline(lab, cases, tmp_path):
    made = Baseline(tmp_path / "flux-tiny" / "cpu-float32.json", "flux-tiny", "cpu", "float32")
    made.control = ControlFigures.of({**lab.control.summary(), "seed_sd": lab.seed_sd})
    made.facts = facts(lab.fingerprint)
    for case in cases:
        measured, _ = lab.run(case.plan, case.stack)
        made.cases[case.id] = {
            m: Entry(rounded(measured.summary[m]), measured.n) for m in gated() if m in measured.summary
        }
    return made


def under(lab, cases, baseline, *names):
    return {t.mutant.name: t for t in examine(lab, cases, baseline, TOLERANCES, [NAMED[n] for n in names])}


def test_faults_are_seen_by_the_gates(lab, cases, baseline):
    before = lab.sampler.sample(lab.prompts, seed=0).sha256()
    found = under(lab, cases, baseline, SENSITIVITY_FAULT, "no-op", "rotary-base", "no-shift", "no-mask")
    assert found[SENSITIVITY_FAULT].flagged == found["no-op"].flagged == 3
    assert found["no-shift"].flagged == 3
    assert found["rotary-base"].flagged >= 1
    assert found["no-mask"].why_not == "no such thing in flux as it is run here"
    assert lab.sampler.sample(lab.prompts, seed=0).sha256() == before
    text = markdown({"flux-tiny": list(found.values())}, {"flux-tiny": []})
    assert f"| flux-tiny | {SENSITIVITY_FAULT} | one more block is left out than the plan says | 3 of 3 |" in text
    assert "| no-mask | the text encoder attends to pads | not there |" in text


def test_a_window_of_steps_is_measured_as_it_was_stored(lab, cases, baseline):
    (case,) = in_part(cases[0], [(1, 2)], 4)
    measured, _ = lab.run(case.plan, case.stack, case.window)
    baseline.cases[case.id] = {
        m: Entry(rounded(measured.summary[m]), measured.n) for m in gated() if m in measured.summary
    }
    again = from_id("flux-tiny", lab.checkpoint.stacks, case.id)
    assert under(lab, [again], baseline, "no-shift")["no-shift"].flagged == 1  # and nothing is red without a fault


def test_the_effect_of_one_more_block_decides_who_is_insensitive(lab, cases, baseline):
    assert insensitive(baseline, TOLERANCES) == []  # nothing is known yet
    (weak,) = examine(lab, cases, baseline, TOLERANCES, [NAMED[SENSITIVITY_FAULT]])
    assert store_effects(baseline, weak) == 3
    baselines.save(baseline)
    kept = baselines.load(baseline.path, "flux-tiny")
    assert all(kept.cases[c.id]["harm"].effect > 0 for c in cases)
    assert insensitive(kept, TOLERANCES) == []
    wide = [Tolerance("*", metric, 1e6, 0.0, "t") for metric in ("harm", "latent_drift")]
    assert sorted(insensitive(kept, wide)) == sorted(c.id for c in cases)


def test_a_lab_that_is_red_without_any_fault_is_refused(lab, cases, baseline):
    entry = baseline.cases[cases[0].id]["harm"]
    baseline.cases[cases[0].id]["harm"] = Entry(entry.value + 1, entry.n)
    with pytest.raises(BaselineError, match=r"is red without any fault \(harm\)"):
        under(lab, cases, baseline, SENSITIVITY_FAULT)
    baseline.cases.clear()
    with pytest.raises(BaselineError, match="has no entry for flux-tiny-double"):
        under(lab, cases, baseline, SENSITIVITY_FAULT)
