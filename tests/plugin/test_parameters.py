"""From a mark to the parameters of its test, by config.json alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness import SAME_COST, Ask
from harness.ablation.guidance import GuidancePass
from harness.analysis import layer_groups
from harness.analysis.layer_groups import Groups, StackGroups
from harness.errors import CaseError, CheckpointError, HarnessError, PlanError
from harness.findings import catalogue
from harness.lab.budget import Budget
from harness.models.checkpoints.resolve import bundled_names
from harness.plugin.parameters import MarkReader, Target, mark_of
from tests.helpers.options import DEFAULTS

ASK = Ask(("double",), ("middle", "first"), ("skip", "reverse"))


class Test:
    """A test with at most one mark, as far as marks are concerned."""

    __test__ = False

    def __init__(self, decorator=None):
        self.mark = decorator and decorator.mark

    def get_closest_marker(self, name):
        return self.mark if self.mark is not None and self.mark.name == name else None


def read(decorator, *fixtures, folder="baselines", **options):
    """The parameters of a test that takes these fixtures."""
    reader = MarkReader(replace(DEFAULTS, **options))
    mark = mark_of(Test(decorator), fixtures)
    return [
        parameter
        for checkpoint in reader.checkpoints(mark)
        for parameter in reader.parameters(mark, fixtures, Target(checkpoint, folder))
    ]


def ids(*arguments, **options):
    return [parameter.id for parameter in read(*arguments, **options)]


def test_an_ablation_runs_once_a_case():
    _, first, _ = parameters = read(pytest.mark.dit("flux-tiny", ASK), "ablation")
    assert [p.id for p in parameters] == [
        "flux-tiny-double-L00-skip",
        "flux-tiny-double-L01-03-skip",
        "flux-tiny-double-L01-03-reverse",
    ]  # one block can't be reversed
    assert first.case.id == first.id
    assert first.claim is None
    assert first.target.name == first.case.checkpoint == "flux-tiny"
    assert first.words == ("flux", "middle")


@pytest.mark.parametrize(("fixture", "word"), [("control", "control"), ("study", "analysis")])
def test_a_control_and_a_study_run_once_a_checkpoint(fixture, word):
    (parameter,) = read(pytest.mark.dit("sd3-tiny"), fixture)
    assert (parameter.id, parameter.case, parameter.claim) == (f"sd3-tiny-{word}", None, None)
    assert parameter.words == ("sd3",)
    assert ids(pytest.mark.dit("bundled"), fixture) == [f"{name}-{word}" for name in bundled_names()]


def test_a_finding_runs_once_a_claim():
    parameters = read(pytest.mark.dit_findings("flux-tiny", "B2", "sd35"), "finding")
    assert [p.id for p in parameters] == ["flux-tiny-B2", *(f"flux-tiny-{id_}" for id_ in catalogue.SETS["sd35"].ids)]
    assert parameters[0].claim.id == "B2"
    assert parameters[0].case is None


def test_the_command_line_replaces_the_grid():
    mark = pytest.mark.dit("flux-tiny", ASK)
    assert ids(mark, "ablation", ranges=("2",), strategies=("skip",)) == [
        "flux-tiny-double-L02-skip",
        "flux-tiny-single-L02-skip",
    ]
    (by_hand,) = read(mark, "ablation", plans=("double: 0 4",))
    assert by_hand.case.strategy.startswith("plan-")
    windows = ids(mark, "ablation", plans=("double: 0 4",), windows=((0, 0), (1, 2)))
    assert windows == [f"{by_hand.id}-steps-0", f"{by_hand.id}-steps-1-2"]
    with pytest.raises(PlanError, match="block 5 is out of range"):
        ids(mark, "ablation", plans=("double: 0-5",))


@pytest.mark.parametrize(
    "left_out",
    [
        {"weights": "random:small"},
        {"budget": Budget("900 images", 900.0)},
        {"windows": ((0, 1),)},
        {"stacks": ("double",)},
    ],
)
def test_fewer_steps_and_reuse_stand_beside_the_plans_where_they_can_be_measured(left_out):
    mark = pytest.mark.dit("flux-tiny", ASK, SAME_COST)
    alone = {p.id for p in read(mark, "ablation") if p.case.modifiers}
    assert len(alone) == 4
    assert "flux-tiny-fewer-steps.3" in alone
    left = read(mark, "ablation", **left_out)
    assert left
    assert not any(p.case.modifiers for p in left)


def test_the_command_line_asks_for_them_by_their_word():
    mark = pytest.mark.dit("flux-tiny", ASK)
    asked = read(mark, "ablation", modifiers=("same-cost",))
    assert [p.case.modifiers[0].name for p in asked] == ["fewer-steps", "fewer-steps", "reuse", "reuse"]
    with pytest.raises(CaseError, match="same-cost"):
        read(mark, "ablation", modifiers=("same-cost",), strategies=("skip",))
    with pytest.raises(CaseError, match="fewer-steps"):
        read(mark, "ablation", modifiers=("same-cost",), windows=((0, 1),))


def test_another_checkpoint_takes_the_place_of_one_of_its_family():
    mark = pytest.mark.dit("flux-tiny", ASK)
    assert ids(mark, "control", checkpoint="flux-tiny") == ["flux-tiny-control"]
    assert ids(mark, "control", checkpoint="sd3-tiny") == []
    assert ids(pytest.mark.dit("bundled"), "control", checkpoint="sd3-tiny") == ["sd3-tiny-control"]
    (parameter,) = read(mark, "control", checkpoint="FLUX.1-schnell", weights="random:small")
    assert parameter.target.checkpoint.family.name == "flux"
    with pytest.raises(CheckpointError, match="flux-tinny"):
        ids(pytest.mark.dit("flux-tinny"), "control")


def test_a_checkpoint_is_looked_up_once():
    reader, mark = MarkReader(DEFAULTS), pytest.mark.dit("flux-tiny").mark
    assert reader.checkpoints(mark)[0] is reader.checkpoints(mark)[0]


def test_measured_groups_replace_the_fractions_of_the_depth(tmp_path):
    mark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip",)), Ask(("single",), ("3",), ("skip",)))
    with pytest.raises(CaseError, match=r"'flux-tiny' has no measured groups \(.*groups.json is not there\)"):
        ids(mark, "ablation", folder=tmp_path, groups=True)
    path = tmp_path / "flux-tiny" / layer_groups.FILE
    layer_groups.write(path, Groups("flux-tiny", {"double": StackGroups(5, (0, 2, 4), structure=True, p=0.01)}))
    # The stack whose range is a number needs no groups.
    assert ids(mark, "ablation", folder=tmp_path, groups=True) == [
        "flux-tiny-double-L02-03-skip",
        "flux-tiny-single-L03-skip",
    ]
    assert ids(mark, "ablation", folder=tmp_path)[0] == "flux-tiny-double-L01-03-skip"


@pytest.mark.parametrize(
    ("decorator", "fixtures", "message"),
    [
        (None, ("ablation",), "needs a mark that names its checkpoint: @pytest.mark.dit"),
        (None, ("finding",), "needs a mark that names its checkpoint and its claims: @pytest.mark.dit_findings"),
        (pytest.mark.dit_findings("flux-tiny", "B2"), ("control",), "needs a mark that names its checkpoint"),
        (pytest.mark.dit(ASK), ("ablation",), "needs a mark that names its checkpoint"),
        (
            pytest.mark.dit("flux-tiny", asks=1),
            ("study",),
            "the dit mark knows no asks; .* and Asks",
        ),
        (pytest.mark.dit("flux-tiny", "skip"), ("ablation",), "the dit mark takes a checkpoint's name and then Asks"),
        (pytest.mark.dit_findings("flux-tiny", a=1), ("finding",), "the dit_findings mark knows no a; .* and claims"),
        (
            pytest.mark.dit_findings("flux-tiny"),
            ("finding",),
            "then one or more Claims, ids of claims or sets",
        ),
        (pytest.mark.dit_findings("flux-tiny", "B99"), ("finding",), "the dit_findings mark: unknown claim or set"),
        (pytest.mark.dit("flux-tiny"), ("ablation", "control"), "'ablation' can't take 'control' as well"),
    ],
)
def test_a_mark_that_gives_a_test_nothing_is_named(decorator, fixtures, message):
    with pytest.raises(HarnessError, match=message):
        read(decorator, *fixtures)


def test_stacks_may_be_called_as_diffusers_calls_them():
    ask = Ask(("transformer_blocks", "single_transformer_blocks"), ("2",), ("skip",))
    ours = ["flux-tiny-double-L02-skip", "flux-tiny-single-L02-skip"]
    assert ids(pytest.mark.dit("flux-tiny", ask), "ablation") == ours
    mark = pytest.mark.dit("flux-tiny", ASK)
    options = {"ranges": ("2",), "strategies": ("skip",)}
    assert ids(mark, "ablation", stacks=("transformer_blocks", "double"), **options) == ours[:1]
    joint = pytest.mark.dit("sd3-tiny", Ask(("joint",), ("2",), ("skip",)))
    assert ids(joint, "ablation", stacks=("transformer_blocks",), **options) == ["sd3-tiny-joint-L02-skip"]
    aura = pytest.mark.dit("auraflow-tiny", ASK)
    assert ids(aura, "ablation", stacks=("joint_transformer_blocks",), **options) == ["auraflow-tiny-double-L02-skip"]
    by_ours = ids(mark, "ablation", plans=("double: 0 2-4",))
    assert ids(mark, "ablation", plans=("transformer_blocks: 0 2-4",)) == by_ours


def test_a_pass_makes_cases_of_checkpoints_that_have_two():
    bundled = pytest.mark.dit("bundled", Ask(("joint",), ("5",), ("skip",)))
    uncond = GuidancePass.UNCONDITIONAL
    assert ids(bundled, "ablation", stacks=("joint",), strategies=("skip",), passes=(uncond,)) == [
        "sd3-tiny-joint-L03-08-skip-uncond"
    ]
    reader = MarkReader(replace(DEFAULTS, passes=(uncond,)))
    flux, sd3 = (reader.checkpoints(pytest.mark.dit(name, ASK).mark)[0] for name in ("flux-tiny", "sd3-tiny"))
    (why,) = reader.lacking(flux).values()
    assert why.startswith("checkpoint 'flux-tiny' is sampled in a single pass, without classifier-free guidance")
    assert reader.lacking(sd3) == {}
