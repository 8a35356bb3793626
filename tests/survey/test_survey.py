"""Every transformer class of the installed diffusers: what a survey finds, and what docs/models.md says of it."""

from __future__ import annotations

import re
from pathlib import Path

import diffusers
import pytest

from harness.report import models_page
from harness.surgery.block_contract import BlockContract
from harness.surgery.slot import Slot
from harness.survey import survey as survey_module
from harness.survey.classes import transformer_classes
from harness.survey.survey import CHECKS, survey

CLASSES = transformer_classes()
PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
SURVEYED = re.search(r"<!-- survey of diffusers (\S+) -->", PAGE)
THIS_VERSION = SURVEYED is not None and SURVEYED.group(1) == diffusers.__version__

# Every stack that no plan is defined over, and what its refusal says.
REFUSED = {
    ("BriaFiboTransformer2DModel", "caption_projection"): "no loop that calls them one after another",
    ("HiDreamImageTransformer2DModel", "caption_projection"): "no loop that calls them one after another",
    ("MiniMaxMusic3RVQDepthDecoder", "audio_heads"): "no loop that calls them one after another",
    ("WanAnimateTransformer3DModel", "face_adapter"): "no loop that calls them one after another",
    (
        "WanVACETransformer3DModel",
        "vace_blocks",
    ): "also return 'conditioning_states', which the next block doesn't take",
}
FIXED = {  # stacks whose blocks can be left out and not moved
    **dict.fromkeys(("BriaFiboTransformer2DModel", "HiDreamImageTransformer2DModel"), "put together anew"),
    "HunyuanDiT2DModel": "long skips",
}
WHOLE = {"identity", "skip", "reverse", "parallel", "restored"}


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_exact_and_what_is_refused(name):
    found = survey(CLASSES[name])
    if found.problem and not THIS_VERSION:
        pytest.skip(f"the small config is for another release: {found.problem}")
    assert not found.problem
    for stack in found.stacks:
        if stack.refused:
            assert REFUSED[name, stack.name] in stack.refused
            continue
        assert set(stack.checks) == set(CHECKS)
        expected = {"identity", "skip", "restored"} if name in FIXED else WHOLE
        assert set(stack.exact) - {"deletion"} == expected, stack.failed
        if name in FIXED:
            assert FIXED[name] in stack.fixed
            assert all(stack.fixed in stack.failed[moving] for moving in ("reverse", "parallel"))
    if THIS_VERSION:
        rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
        table = models_page.survey_table([found]).splitlines()[2:]
        assert rows == table, "write docs/models.md again: python -m harness models --page docs/models.md"


@pytest.mark.skipif(not THIS_VERSION, reason="docs/models.md is of another release of diffusers")
def test_the_page_has_every_class_and_reaches_what_was_aimed_at():
    names = re.findall(r"^\| `(\w+)` \|", PAGE.split("<!-- survey")[1], re.MULTILINE)
    assert list(dict.fromkeys(names)) == list(CLASSES)
    said = re.search(r": (\d+) classes with (\d+) stacks; .* bitwise the model on (\d+) of them", PAGE)
    assert said is not None
    classes, stacks, identity = map(int, said.groups())
    assert classes == len(CLASSES)
    assert identity == stacks - len(REFUSED)
    assert identity / stacks >= 95 / 102


def test_a_slot_that_changes_something_is_found_out(monkeypatch):
    run_steps = Slot.run_steps

    def a_little_off(self, state, call):
        return {name: value * 1.001 for name, value in run_steps(self, state, call).items()}

    monkeypatch.setattr(Slot, "run_steps", a_little_off)
    (stack,) = survey(CLASSES["PixArtTransformer2DModel"]).stacks
    assert stack.failed["identity"] == "differs from the model"
    assert {"skip", "parallel"} <= set(stack.failed)  # a reversal has no slots: each block stands there itself


def test_a_contract_in_the_wrong_order_is_found_out(monkeypatch):
    wrong = BlockContract(("hidden_states", "encoder_hidden_states"), single=False)
    monkeypatch.setattr("harness.surgery.view.contract", lambda *_: wrong)
    double, _ = survey(CLASSES["FluxTransformer2DModel"]).stacks
    assert "identity" in double.exact  # swapped and swapped back: the identity alone doesn't tell
    assert "skip" in double.failed


def test_a_class_that_cannot_be_built_says_why(monkeypatch):
    monkeypatch.setattr(survey_module, "tiny_config", lambda _: {"num_layers": "four"})
    found = survey(CLASSES["PixArtTransformer2DModel"])
    assert found.problem.startswith("no small one could be run: TypeError")
    assert not found.stacks
