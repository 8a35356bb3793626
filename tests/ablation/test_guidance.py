"""Passes of guidance in ids and cases."""

from __future__ import annotations

import pytest

from harness.ablation import guidance
from harness.ablation.case import by_hand, modified
from harness.ablation.grid import Ask, expand, from_id, in_part
from harness.ablation.guidance import GuidancePass
from harness.ablation.modifiers import read_modifiers
from harness.errors import CaseError

STACKS = {"joint": 12}
UNCOND, COND = GuidancePass
SKIP = Ask(("joint",), ("5",), ("skip",))


@pytest.mark.parametrize("one", [None, *GuidancePass])
@pytest.mark.parametrize("window", [None, (2, 2), (0, 1)])
def test_endings_read_back(one, window):
    assert guidance.split("skip" + guidance.suffix(one, window)) == ("skip", one, window)


def test_what_is_no_pass_is_named():
    assert guidance.read("cond") is COND
    with pytest.raises(CaseError, match=r"'both' is no pass of guidance; write uncond .* or cond"):
        guidance.read("both")


def test_each_pass_makes_its_own_cases():
    cases = expand("sd3-tiny", STACKS, [SKIP], windows=[(0, 1), (0, 3)], steps=4, passes=[UNCOND, COND, UNCOND])
    assert [case.id.removeprefix("sd3-tiny-joint-L05-") for case in cases] == [
        *("skip-uncond-steps-0-1", "skip-cond-steps-0-1", "skip-uncond", "skip-cond"),
    ]
    assert cases[0].words == ("window", "one-pass", "uncond")
    assert cases[3].words == ("one-pass", "cond")
    assert [case.saving for case in cases] == [pytest.approx(1 / 48)] * 2 + [pytest.approx(1 / 24)] * 2
    assert not any(case.in_whole_forwards for case in cases)
    for case in cases:
        again = from_id("sd3-tiny", STACKS, case.id)
        assert (again.id, again.guidance_pass, again.window) == (case.id, case.guidance_pass, case.window)


def test_plans_by_hand_have_passes_too():
    whole = by_hand("m", STACKS, "joint: 0-3 5-11")
    assert [case.id for case in in_part(whole, (), 4, [COND])] == [f"{whole.id}-cond"]
    assert in_part(whole, (), 4) == [whole]
    assert whole.in_whole_forwards


def test_modifiers_and_one_pass_do_not_go_together():
    (case,) = expand("m", STACKS, [SKIP], passes=[COND])
    with pytest.raises(CaseError, match="a plan that holds in one pass of guidance takes no modifiers"):
        modified(case, read_modifiers("fewer-steps.3"), STACKS, 4)
    with pytest.raises(CaseError, match=r"modifier 'fewer-steps.3' holds in both passes of guidance"):
        expand("m", STACKS, [Ask((), (), (), ("fewer-steps.3",))], steps=4, passes=[COND])


def test_a_checkpoint_of_one_pass_is_named():
    guidance.check_two_passes("sd3-tiny", guided=True)
    with pytest.raises(CaseError, match="checkpoint 'flux-tiny' is sampled in a single pass"):
        guidance.check_two_passes("flux-tiny", guided=False)
