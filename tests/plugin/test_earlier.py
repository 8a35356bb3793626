"""What a run that goes on takes from its journal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import OptionError
from harness.plugin.earlier import Earlier
from harness.results.records import Kind, Record, Status, Verdict
from tests.helpers.records import FINGERPRINT, latency, quality, raised

CONTROL = Record.of_control(FINGERPRINT, Verdict(Status.OK), quality("skip", 0.0).measurement)
ALL = (quality("skip", 1.0), latency("skip", 1.3), CONTROL)


def test_what_was_measured_is_found_by_case_and_kind():
    earlier = Earlier.of(ALL)
    assert earlier.measurement("m-s-skip") == ALL[0].measurement
    assert earlier.latency("m-s-skip") == ALL[1].latency
    assert earlier.control("m") == CONTROL.measurement
    assert earlier.measurement("m-s-swap") is earlier.latency("m-s-swap") is earlier.control("n") is None
    assert all(earlier.holds(record.to_json()) for record in ALL)
    assert not earlier.holds(replace(ALL[0], verdict=Verdict(Status.STALE)).to_json())
    assert not Earlier().holds(ALL[0].to_json())


def test_what_raised_or_was_not_measured_is_run_again():
    untimed = replace(latency("skip", 1.3), latency=None)
    earlier = Earlier.of([raised(quality("skip", 1.0), "TypeError: x"), untimed])
    assert earlier.measurement("m-s-skip") is earlier.latency("m-s-skip") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": "v"}, "weights w -> v"),
        ({"sampling": {"steps": 8, "guidance": 0.0}}, "steps 4 -> 8"),
        ({"versions": {"torch": "2.16.0"}}, "torch 2.15.0 -> 2.16.0"),
    ],
)
def test_a_checkpoint_that_was_measured_differently_is_refused(change, said):
    earlier = Earlier.of(ALL)
    with pytest.raises(OptionError, match=f"--dit-resume r: m was measured differently there \\({said}\\)"):
        earlier.check("r", replace(FINGERPRINT, **change))


@pytest.mark.parametrize("change", [{"machine": "another"}, {"threads": 1}, {"checkpoint": "n", "weights": "v"}])
def test_another_machine_or_checkpoint_is_no_reason(change):
    Earlier.of(ALL).check("r", replace(FINGERPRINT, **change))
    assert Earlier.of(ALL).records[Kind.QUALITY, "m-s-skip"] == ALL[0]
