"""A trial image says what a pipeline can't run, once in a lab."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from harness.ablation.modifiers import read_modifier
from harness.errors import CaseError
from harness.modifiers.base import Calibrations, Target
from harness.modifiers.probed import ProbedRun
from tests.helpers.samplers import PROMPTS, sampler_of


class Failing(ProbedRun):
    tries = 0

    @contextmanager
    def installed(self):
        Failing.tries += 1
        raise self.error
        yield

    def check(self, counts):
        pass


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("no sigmas\nat all"), "no sigmas"), (AssertionError(), "AssertionError")]
)
def test_what_is_raised_is_the_reason(pipelines, error, message):
    run = Failing(Target(sampler_of(pipelines, "flux"), read_modifier("fewer-steps.3"), PROMPTS, Calibrations()))
    run.error = error
    with pytest.raises(CaseError, match=f"'fewer-steps.3': FluxPipeline can't run it: {message}"):
        run.calibrate()


def test_a_trial_that_succeeds_is_made_once(pipelines):
    class Fine(Failing):
        @contextmanager
        def installed(self):
            Failing.tries += 1
            yield

    target = Target(sampler_of(pipelines, "flux", steps=1), read_modifier("fewer-steps.3"), PROMPTS, Calibrations())
    Failing.tries = 0
    Fine(target).calibrate()
    Fine(target).calibrate()
    assert Failing.tries == 1
