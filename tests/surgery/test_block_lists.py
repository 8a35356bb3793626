"""Block lists for other tools, read as each tool's own code reads them (written anew here from that code)."""

from __future__ import annotations

import re

import diffusers
import pytest
import torch

from harness.errors import CaseError, ExportError, PlanError
from harness.models.checkpoints.resolve import blueprint
from harness.models.random_weights import checkpoint as random_weights
from harness.models.random_weights.weights import outline
from harness.surgery.block_lists import FORMATS, block_lists, in_format
from harness.surgery.export import export
from tests.helpers import models
from tests.helpers.models import ablated
from tests.helpers.needs import needs


def lists(name, *plans):
    return block_lists(blueprint(name).checkpoint, plans)


FLUX = ("FLUX.1-dev", "double: 0-2 4-18", "single: 0 2-9 14-36")
AURAFLOW = ("auraflow-tiny", "double: 0 2-5", "single: 1-7")


def test_the_lists():
    mine = lists(*FLUX)
    assert mine.left_out == {"double": (3,), "single": (1, 10, 11, 12, 13, 37)}
    assert mine.runs() == [(3, 3), (20, 20), (29, 32), (56, 56)]
    assert lists("auraflow-tiny", "double: 0-4", "single: 1-9").runs() == [(5, 5), (6, 6)]  # neighbours, of two stacks


@pytest.mark.parametrize(
    ("plans", "error", "message"),
    [
        (["double: 0 2 1 3-18"], ExportError, "reorders, repeats or runs blocks side by side"),
        (["double: 0 1 1 2-18"], ExportError, "reorders, repeats"),
        (["double: 0 (1|2) 3"], ExportError, "reorders, repeats"),
        (["double: 0-18"], ExportError, "leave no block out"),
        (["double: 0-2", "double: 0-3"], ExportError, "two plans for stack 'double'"),
        (["joint: 0-2"], CaseError, "has no stack 'joint'"),
        (["double: 0-19"], PlanError, "out of range"),
    ],
)
def test_what_no_list_can_say_is_refused(plans, error, message):
    with pytest.raises(error, match=message):
        lists("FLUX.1-dev", *plans)


@pytest.mark.parametrize(
    ("tool", "name", "plan"),
    [
        ("diffusers", "FLUX.1-dev", "double: 0-2"),
        ("kohya", "auraflow-tiny", "double: 0-2"),
        ("comfyui", "sd3-tiny", "0-2"),
    ],
)
def test_a_family_that_a_tool_was_not_checked_for_is_refused(tool, name, plan):
    with pytest.raises(ExportError, match=f"for {tool} there is no checked format for"):
        in_format(lists(name, plan), tool)


def test_every_format_names_what_it_was_checked_against():
    for tool, known in FORMATS.items():
        assert known.source, tool
        for name in ("FLUX.1-dev", "sd3-tiny", "auraflow-tiny"):
            checkpoint = blueprint(name).checkpoint
            if checkpoint.family.transformer in known.write:
                plan = f"{next(iter(checkpoint.stacks))}: 0 2-4"
                assert in_format(block_lists(checkpoint, [plan]), tool)["checked_against"] == known.source


def kohya_reads(text, total):
    """parse_block_selection of networks/lora_flux.py."""
    if text == "all":
        return set(range(total))
    if text in {"none", ""}:
        return set()
    chosen = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        assert 0 <= int(first) <= int(last or first) < total
        chosen |= set(range(int(first), int(last or first) + 1))
    return chosen


def test_kohya_trains_the_blocks_that_stay():
    written = in_format(lists(*FLUX), "kohya")
    arguments = dict(text.split("=") for text in written["network_args"])
    assert written["network_module"] == "networks.lora_flux"
    assert kohya_reads(arguments["train_double_block_indices"], 19) == set(range(19)) - {3}
    assert kohya_reads(arguments["train_single_block_indices"], 38) == set(range(38)) - {1, 10, 11, 12, 13, 37}
    some = in_format(lists("FLUX.1-dev", "double: -"), "kohya")["network_args"]
    assert some == ["train_double_block_indices=none", "train_single_block_indices=all"]
    sd3 = in_format(lists("sd3-tiny", "joint: 0-6 9-11"), "kohya")
    assert sd3["network_module"] == "networks.lora_sd3"
    assert sd3["network_args"] == ["train_block_indices=0-6,9-11"]


@pytest.mark.parametrize(
    ("name", "plans"), [(FLUX[0], FLUX[1:]), ("sd3-tiny", ["joint: 0 2-11"]), (AURAFLOW[0], AURAFLOW[1:])]
)
@pytest.mark.parametrize("prefix", ["transformer", "lora_transformer"])
def test_ai_toolkits_substrings_hit_the_blocks_that_stay_and_no_others(name, plans, prefix):
    mine = lists(name, *plans)
    words = in_format(mine, "ai-toolkit")["network"]["network_kwargs"]["only_if_contains"]
    attributes = {stack.attribute: stack.name for stack in mine.family.stacks}
    hit = {stack: set() for stack in mine.lengths}
    for module, _ in outline(random_weights.resolve(name, "random")).named_modules():
        if any(word in f"{prefix}.{module}" for word in words):
            attribute, block, *_ = module.split(".")
            hit[attributes[attribute]].add(int(block))
    assert {stack: tuple(sorted(blocks)) for stack, blocks in hit.items()} == dict(mine.kept)


def test_simpletuners_routes_cover_the_blocks_that_are_left_out():
    """A route begins before its start and ends behind its end, counted through all blocks; one at a time."""
    mine = lists(*FLUX)
    routes = in_format(mine, "simpletuner")["tread_config"]["routes"]
    inside, number, routed = False, 0, set()
    for block in range(57):
        if number < len(routes) and block == routes[number]["start_layer_idx"]:
            inside = True
        if inside:
            routed.add(block)
        if inside and block == routes[number]["end_layer_idx"]:
            inside, number = False, number + 1
    assert (inside, number) == (False, len(routes))
    assert routed == {3, 20, 29, 30, 31, 32, 56}
    assert {route["selection_ratio"] for route in routes} == {0.5}


def test_simpletuners_layersync_names_the_blocks_around_the_longest_run():
    written = in_format(lists(*FLUX), "simpletuner")
    kept = {f"layer_{index}" for index in range(57)}

    def resolve(index):  # _resolve_layer: counted from 1 first, from 0 where there is none
        return next(name for name in (f"layer_{index - 1}", f"layer_{index}") if name in kept)

    assert resolve(written["layersync_student_block"]) == "layer_28"
    assert resolve(written["layersync_teacher_block"]) == "layer_33"
    assert "layersync_enabled" not in in_format(lists("FLUX.1-dev", "double: 1-18"), "simpletuner")


def test_simpletuner_reads_sd3s_skip_layers_as_json():
    import json

    written = in_format(lists("sd3-tiny", "joint: 0-6 9-11"), "simpletuner")
    assert json.loads(written["validation_guidance_skip_layers"]) == [7, 8]
    assert written["tread_config"]["routes"] == [{"selection_ratio": 0.5, "start_layer_idx": 7, "end_layer_idx": 8}]


def test_comfyuis_node_reads_the_blocks_that_are_left_out():
    for name, *plans in (FLUX, AURAFLOW):
        mine = lists(name, *plans)
        written = in_format(mine, "comfyui")
        for stack, text in ((s, written["SkipLayerGuidanceDiT"][f"{s}_layers"]) for s in ("double", "single")):
            assert tuple(map(int, re.findall(r"\d+", text))) == mine.left_out[stack]
        keys = {(kind, block) for kind, block in written["patches_replace"]["dit"]}
        assert keys == {(f"{stack}_block", block) for stack, blocks in mine.left_out.items() for block in blocks}


def test_a_students_weights_are_those_that_export_saves(tmp_path):
    model, _ = models.flux(doubles=5, singles=10)
    plans = ["double: 0 2-4", "single: 0-3 7-9"]
    written = in_format(lists("flux-tiny", *plans), "student")
    export(model, plans, tmp_path / "out")
    saved = type(model).from_pretrained(tmp_path / "out")
    assert {key: saved.config[key] for key in written["config"]} == written["config"]
    whole = model.state_dict()
    for name, value in saved.state_dict().items():
        of = next((old + name[len(new) :] for new, old in written["weights"].items() if name.startswith(new)), name)
        assert torch.equal(value, whole[of])


def test_diffusers_skips_what_the_plan_leaves_out():
    """SD3's own skip_layers, which its pipeline is given as skip_guidance_layers: bitwise the plan."""
    model, arguments = models.sd3(6)
    written = in_format(lists("sd3-tiny", "joint: 0-2 4 6-11"), "diffusers")
    skipped = written["pipeline_call"]["skip_guidance_layers"]
    assert skipped == [3, 5]
    with torch.inference_mode():
        got = model(**{**arguments, "skip_layers": [3]})[0]
    assert torch.equal(got, ablated(model, ["joint: 0-2 4-5"], arguments))
    import inspect

    assert "skip_guidance_layers" in inspect.signature(diffusers.StableDiffusion3Pipeline.__call__).parameters


@needs("diffusers.hooks.LayerSkipConfig")
def test_diffusers_layer_skip_config_is_still_wrong_on_these_models():
    """Why there is no list for it. Where this fails, diffusers has fixed it, and the format can be added."""
    right = []
    for family, attribute, plan in (
        ("flux", "transformer_blocks", "double: 0-1 3"),
        ("sd3", "transformer_blocks", "joint: 0-1 3-5"),
        ("auraflow", "joint_transformer_blocks", "double: 0-1 3"),
    ):
        model, arguments = models.FAMILIES[family]()
        expected = ablated(model, [plan], arguments)
        try:
            diffusers.hooks.apply_layer_skip(model, diffusers.hooks.LayerSkipConfig(indices=[2], fqn=attribute))
            with torch.inference_mode():
                got = model(**arguments)[0]
        except (RuntimeError, ValueError, TypeError, AttributeError):
            continue
        if got.shape == expected.shape and torch.equal(got, expected):
            right.append(family)
    assert not right
