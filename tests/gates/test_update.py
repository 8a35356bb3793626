"""The one writer of stored values: what each mode replaces, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import BaselineError
from harness.gates import baselines
from harness.gates.update import UpdateMode, open_for_update, update_cases, update_figures
from harness.results.latency import Latency
from harness.results.records import Kind, Measurement, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, quality


def record(status=Status.OK, harm=0.5):
    made = quality("skip", harm, status=status)
    return replace(made, measurement=replace(made.measurement, latents_sha256="a" * 64))


@pytest.mark.parametrize(
    ("stored", "red", "writes"),
    [
        (False, False, (True, True, True)),
        (False, True, (True, True, True)),
        (True, False, (False, False, True)),
        (True, True, (False, True, True)),
    ],
)
def test_what_each_mode_writes(stored, red, writes):
    assert tuple(mode.writes(stored=stored, red=red) for mode in UpdateMode) == writes


def test_a_new_file_holds_the_run_and_an_unchanged_one_is_not_written_again(tmp_path):
    (path,) = update_cases(tmp_path, [record()], UpdateMode.MISSING)
    assert path == tmp_path / "m" / f"{FINGERPRINT.device}-{FINGERPRINT.dtype}.json"
    stored = baselines.load(path, "m")
    assert stored.cases["m-s-skip"]["harm"].value == 0.5
    assert stored.latents == {"m-s-skip": (FINGERPRINT.digest, "a" * 64)}
    assert update_cases(tmp_path, [record()], UpdateMode.ALL) == []


def test_other_weights_have_their_own_unit_of_harm(tmp_path):
    """Where everything is stored anew; what the file keeps of cases that did not run is converted."""

    def run(unit, weights, *names):
        fingerprint = replace(FINGERPRINT, weights=weights)
        cases = []
        for name in names:
            made = quality(name, 0.5)
            summary = {**made.measurement.summary, "seed_sd": 2.0, "harm": 0.25, "clip_delta": -0.5}
            cases.append(replace(made, fingerprint=fingerprint, measurement=replace(made.measurement, summary=summary)))
        measured = Measurement(4, 2, {"score": (1.0, 2.0, 3.0, 4.0)}, {"seed_sd": unit, "score": 2.5})
        return [*cases, Record.of_control(fingerprint, Verdict(Status.OK), measured)]

    (path,) = update_cases(tmp_path, run(2.0, "w", "skip", "swap"), UpdateMode.ALL)
    # The same weights, or not everything: the stored unit stays, whatever the control's spread is today.
    update_cases(tmp_path, run(4.0, "w", "skip"), UpdateMode.ALL)
    update_cases(tmp_path, run(4.0, "others", "skip"), UpdateMode.CHANGED)
    assert baselines.load(path, "m").seed_sd == 2.0
    (path,) = update_cases(tmp_path, run(2.0, "w", "skip"), UpdateMode.ALL) or [path]
    update_cases(tmp_path, run(4.0, "others", "skip"), UpdateMode.ALL)
    stored = baselines.load(path, "m")
    assert stored.seed_sd == 4.0
    assert stored.cases["m-s-skip"]["harm"].value == 0.125  # half a point, in the new unit
    assert stored.cases["m-s-swap"]["harm"].value == 0.125
    assert stored.cases["m-s-swap"]["clip_delta"].value == -0.5


def test_values_inside_their_tolerance_do_not_creep(tmp_path):
    update_cases(tmp_path, [record()], UpdateMode.MISSING)
    assert update_cases(tmp_path, [record(harm=0.51)], UpdateMode.CHANGED) == []
    (path,) = update_cases(tmp_path, [record(Status.UPDATED, harm=0.9)], UpdateMode.CHANGED)
    assert baselines.load(path, "m").cases["m-s-skip"]["harm"].value == 0.9


def test_an_ablation_that_did_nothing_and_a_plan_by_hand_are_never_stored(tmp_path):
    nothing = replace(record(), verdict=Verdict(Status.NOTHING))
    by_hand = replace(record(), strategy="plan-12345678")
    assert update_cases(tmp_path, [nothing, by_hand], UpdateMode.ALL) == []


def test_a_timing_alone_makes_no_file(tmp_path):
    times = Latency((1.0,), (0.5,), batch=1, ratio=2.0, low=1.9, high=2.1, theory=2.0)
    gpu = replace(FINGERPRINT, device="nvidia-h200")
    timed = replace(record(), kind=Kind.LATENCY, measurement=None, latency=times, fingerprint=gpu)
    assert update_cases(tmp_path, [timed], UpdateMode.ALL) == []


def test_other_circumstances_are_never_mixed_into_one_file(tmp_path):
    (path,) = update_cases(tmp_path, [record()], UpdateMode.MISSING)
    before = path.read_text()
    other = replace(record(), fingerprint=replace(FINGERPRINT, prompts="others"))
    with pytest.raises(BaselineError, match=r"is not updated: this run is measured with other prompts"):
        update_cases(tmp_path, [other], UpdateMode.ALL)
    with pytest.raises(BaselineError, match="is not updated"):
        open_for_update(path, other.fingerprint)
    assert path.read_text() == before


def test_figures_of_an_analysis_are_accepted_as_a_whole(tmp_path):
    path = tmp_path / "m" / "analysis" / "cpu-float32.json"

    def store(figures, mode):
        update_figures(path, FINGERPRINT, 1.5, figures, 16, mode)
        return {name: entry.value for name, entry in baselines.load(path, "m").cases["m-a"].items()}

    assert store({"m-a": {"x": 1.0, "y": 2.0}}, UpdateMode.MISSING) == {"x": 1.0, "y": 2.0}
    assert store({"m-a": {"x": 9.0, "z": 3.0}}, UpdateMode.MISSING) == {"x": 1.0, "y": 2.0, "z": 3.0}
    assert store({"m-a": {"x": 9.0}}, UpdateMode.CHANGED) == {"x": 9.0}


def test_a_figure_of_the_control_that_is_new_is_stored_beside_the_others(tmp_path):
    """As after an upgrade of the harness; values and unit that are stored stay."""

    def run(metrics, **summary):
        fingerprint = replace(FINGERPRINT, metrics=metrics)
        measured = Measurement(4, 2, {}, summary)
        return [quality("skip", 0.5), Record.of_control(fingerprint, Verdict(Status.OK), measured)]

    (path,) = update_cases(tmp_path, run({}, seed_sd=2.0, score=90.0), UpdateMode.ALL)
    more = run({"lpips": "a"}, seed_sd=3.0, score=91.0, first_score=92.0)
    assert update_cases(tmp_path, more, UpdateMode.MISSING) == [path]
    stored = baselines.load(path, "m")
    assert stored.control.by_name == {"seed_sd": 1.0, "score": 90.0, "first_score": 92.0}
    assert stored.facts.metrics == {"lpips": "a"}
    assert update_cases(tmp_path, more, UpdateMode.MISSING) == []
