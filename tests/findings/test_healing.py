"""D5 on trials of known ranks, and where it can't be asked."""

from __future__ import annotations

import numpy as np
import pytest

from harness.findings import healing
from harness.findings.claim import ClaimVerdict, judge
from harness.healing.trials import Trial
from tests.helpers.studies import Made


def trials(harms):
    return [Trial(("double: 0",), float(loss), 0.0, float(harm)) for loss, harm in enumerate(harms)]


UNSORTED = [5, 2, 9, 0, 11, 7, 3, 10, 1, 8, 4, 6]  # a rank correlation of .07 with 0, 1, 2 ...


@pytest.mark.parametrize(
    ("harms", "verdict"),
    [
        (range(12), ClaimVerdict.CONTRADICTED),
        (range(12, 0, -1), ClaimVerdict.SUPPORTED),
        (UNSORTED, ClaimVerdict.UNDECIDED),
    ],
)
def test_the_verdict_follows_the_ranks(harms, verdict, monkeypatch):
    asked = {}

    def run_trials(lab, chosen, recipe, prompts):
        asked.update(chosen=chosen, recipe=recipe, prompts=prompts)
        return iter(trials(harms))

    monkeypatch.setattr(healing, "run_trials", run_trials)
    finding = judge(healing.loss_predicts_nothing, Made("flux", checkpoint="flux-tiny"))
    assert finding.verdict is verdict
    assert (len(asked["chosen"]), asked["recipe"].steps, len(asked["prompts"])) == (12, 60, 1024)


def test_the_interval_widens_with_the_level():
    narrow, wide = (healing.rank_correlation(trials(UNSORTED), level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high
    assert np.isclose(wide.value, np.corrcoef(np.arange(12), UNSORTED)[0, 1])


def test_it_is_not_asked_of_other_models():
    finding = judge(healing.loss_predicts_nothing, Made("flux"))
    assert finding.verdict is ClaimVerdict.NOT_APPLICABLE
    assert "only bundled models" in finding.because
