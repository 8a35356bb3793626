"""Which outputs are compared, and that they are the blocks' own."""

from __future__ import annotations

import pytest
import torch

from harness.healing.features import block_outputs, common, student_places, teacher_places
from harness.surgery.pruning import chosen
from harness.surgery.view import ablate
from tests.helpers import models
from tests.helpers.small_models import small


def test_positions_are_those_of_the_blocks_that_stay():
    model, _ = models.flux()
    places = teacher_places(model, chosen(model, ["double: 3 0 2"]))
    assert places == {"double": (0, 2, 3), "single": (0, 1, 2, 3, 4, 5)}
    assert student_places(places) == {"double": (0, 1, 2), "single": (0, 1, 2, 3, 4, 5)}


@pytest.mark.parametrize("family", ["flux", "sd3", "auraflow"])
def test_an_output_is_what_the_model_without_the_blocks_behind_it_ends_with(family):
    """The reference: the model under a plan that ends there, whose last block leaves the same."""
    model, arguments = models.FAMILIES[family]()
    stack = "joint" if family == "sd3" else "double"
    places = {stack: (0, 2)}
    with torch.no_grad(), block_outputs(model, places) as outputs:
        model(**arguments)
    plan = f"{stack}: 0-2 5" if family == "sd3" else f"{stack}: 0-2"
    with torch.no_grad(), ablate(model, plan), block_outputs(model, {stack: (2,)}) as alone:
        model(**arguments)
    assert {name.split(".")[1] for name in outputs} == {"0", "1"}
    assert {f"{stack}.1.hidden_states", f"{stack}.1.encoder_hidden_states"} <= outputs.keys()
    for name, value in alone.items():
        assert torch.equal(value, outputs[name.replace(f"{stack}.0", f"{stack}.1")])
    assert not any(block._forward_hooks for block in models.blocks(model, stack))


def test_sd3s_last_block_has_no_text_and_is_compared_by_its_image():
    model, arguments = models.sd3()
    with torch.no_grad(), block_outputs(model, {"joint": (0, 5)}) as outputs:
        model(**arguments)
    assert "joint.1.encoder_hidden_states" not in outputs
    whole = {"joint.1.encoder_hidden_states": torch.zeros(1), **outputs}
    assert [set(part) for part in common(whole, outputs)] == [set(outputs)] * 2


def test_gradients_flow_back_and_a_second_run_of_a_block_doesnt_replace_the_first():
    model, arguments = models.flux()
    model.enable_gradient_checkpointing()
    model.train()
    with block_outputs(model, {"double": (1,)}) as outputs:
        model(**arguments)
        before = dict(outputs)
        outputs["double.0.hidden_states"].square().mean().backward()
    assert all(outputs[name] is value for name, value in before.items())
    assert model.transformer_blocks[0].attn.to_q.weight.grad.abs().sum() > 0
    assert model.transformer_blocks[2].attn.to_q.weight.grad is None


def test_stacks_inside_a_module_dict_are_matched_too():
    model, arguments = small("Flux3Transformer2DModel")
    assert teacher_places(model, {"mode_blocks.image": (0, 3)}) == {
        "mode_blocks.image": (0, 3),
        "mode_blocks.image_cond": (0, 1, 2, 3),
        "txt_mode_blocks": (0, 1, 2, 3),
        "single_transformer_blocks": (0, 1, 2, 3),
    }
    ends = []
    handle = model.mode_blocks["image"][3].register_forward_hook(lambda _module, _args, output: ends.append(output))
    with torch.no_grad(), block_outputs(model, {"mode_blocks.image": (0, 3)}) as outputs:
        model(**{**arguments, "return_dict": False})
    handle.remove()
    assert outputs.keys() == {"mode_blocks.image.0.hidden_states", "mode_blocks.image.1.hidden_states"}
    assert outputs["mode_blocks.image.1.hidden_states"] is ends[0]
