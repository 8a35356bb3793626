"""``python -m harness list``: what there is, and a sweep's cost before anything is loaded."""

from __future__ import annotations

import json
import math
import re

import pytest

from harness.ablation.ranges import DEPTHS
from harness.ablation.strategies import STRATEGIES
from harness.cli.inventory import RANGES
from harness.cli.main import main
from harness.metrics.registry import BUILT_IN
from harness.models.checkpoints.published import PUBLISHED
from harness.models.checkpoints.resolve import BUNDLED, bundled_names, resolve
from tests.helpers.pruned import pruned_flux_tiny


def said(capsys, *arguments, code=0):
    assert main(["list", *arguments]) == code
    return capsys.readouterr().out


def told(capsys, *arguments):
    return json.loads(said(capsys, *arguments, "--json"))


def test_what_there_is(capsys):
    text = said(capsys)
    for name in (*bundled_names(), *PUBLISHED, *STRATEGIES, *DEPTHS, *BUILT_IN):
        assert f"\n{name} " in text
    assert set(RANGES) == set(DEPTHS)
    found = told(capsys)
    assert [entry["name"] for entry in found["checkpoints"]] == [*bundled_names(), *PUBLISHED]
    assert found["checkpoints"][0]["stacks"] == dict(resolve(bundled_names()[0]).stacks)
    shuffle = next(entry for entry in found["strategies"] if entry["name"] == "shuffle")
    assert (shuffle["parameters"], shuffle["least"], shuffle["package"]) == ({"s": "seed"}, 2, "harness")
    assert all(entry["summary"].endswith(".") and "`" not in entry["summary"] for entry in found["strategies"])
    assert all(entry["summary"] for entry in found["metrics"])
    assert found["errors"] == []


@pytest.mark.parametrize("name", ["flux-tiny", "sd3.5-medium"])
def test_a_checkpoint_and_its_cost(name, capsys):
    arguments = [name, "--range", "middle,first", "--strategy", "skip,reverse", "--steps", "10"]
    found = told(capsys, *arguments)
    assert found["checkpoint"] == name
    assert found["cost"]["steps"] == 10
    assert found["cost"]["cases"] == len(found["cases"]) > 0
    assert found["cost"]["images"] == len(found["cases"]) * found["cost"]["prompts"]
    batches = math.ceil(found["cost"]["prompts"] / found["cost"]["batch"])
    assert found["cost"]["forwards"] == (len(found["cases"]) + found["cost"]["seeds"]) * 10 * batches
    spent = found["cost"]
    assert spent["exhaustive_control_images"] == pytest.approx(spent["passes_of_the_control"] * spent["prompts"])
    assert (
        spent["control_images"]
        < spent["adaptive_control_images"]
        < 0.5 * spent["exhaustive_control_images"] + (0.5 * spent["control_images"])
    )
    assert 4 < spent["screening_control_images"] <= 30
    assert found["cost"]["guided"] is (name == "sd3.5-medium")
    assert (found["timed"], found["cost"]["seconds"]) == (None, None)
    assert 0.2 < found["cost"]["half_width_sd"] < 0.5
    assert found["cost"]["sd_points"] == (1.47563 if name == "flux-tiny" else None)  # stored with the baseline, or not
    text = said(capsys, *arguments)
    known = "0.35 sd" if name == "flux-tiny" else "0.41 sd where"
    assert re.search(rf"\npower +\d+ prompts x 1 seed: harm is known to about .*{known}", text)
    for case in found["cases"]:
        assert f"{case['id'].removeprefix(name + '-')} " in text
    for way in ("exhaustive", "adaptive", "screening"):
        assert re.search(rf"\n{way} +\D*{spent[f'{way}_control_images']:,.0f} control images", text)
    assert "if it needs 22% of the variants' images as in the median over the bundled models" in text
    assert f"\nforwards    {found['cost']['forwards']:,} of " in text
    assert ("each image in it twice" in text) is found["cost"]["guided"]
    assert "\ntime        not known: --measure loads the checkpoint and times one batch\n" in text


def test_plans_by_hand_and_prompts_of_ones_own(tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    found = told(capsys, "flux-tiny", "--plan", "double: 0 4", "--prompts", str(tmp_path / "prompts.txt"))
    assert [(c["plan"], c["blocks"]) for c in found["cases"]] == [("0 4", pytest.approx(0.8))]
    assert (found["cost"]["images"], found["cost"]["images_in_a_forward"]) == (3, 3)


def test_one_batch_is_really_timed(tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("a large solid red circle on a grey background\n")
    arguments = ["flux-tiny", "--stack", "single", "--strategy", "skip", "--prompts", str(tmp_path / "prompts.txt")]
    found = told(capsys, *arguments, "--measure", "--device", "cpu")
    timed = found["timed"]
    assert (timed["images"], timed["device"]) == (1, "cpu")
    assert timed["batch"] > timed["forward"] > 0
    assert timed["batch"] < found["cost"]["seconds"] < 5 * timed["batch"] + 1e-9  # four seeds and one case
    assert "time        about " in said(capsys, *arguments, "--measure", "--device", "cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flux-tinny"], "error: checkpoint 'flux-tinny' is neither"),
        (["flux-tiny", "--stack", "joint"], "error: checkpoint 'flux-tiny' has no stack 'joint'; it has double (5"),
        (["flux-tiny", "--range", "9-7"], "error: range '9-7' for stack 'double' doesn't fit its 5 blocks (0-4)"),
        (["flux-tiny", "--strategy", "skp"], "error: unknown strategy 'skp' (did you mean 'skip'?); there are skip, "),
        (["flux-tiny", "--plan", "0-3"], "error: plan '0-3' names no stack"),
        (["flux-tiny", "--plan", "double: 0-4"], "error: plan 'double: 0-4' runs stack 'double' as it is"),
        (["flux-tiny", "--steps", "0"], "error: --steps takes a whole number from 1 to 99999, not '0'"),
        (["flux-tiny", "--prompts", "none.txt"], "error: can't read the prompt file none.txt"),
        (["flux-tiny", "--measure", "--device", "gpu"], "error: device 'gpu' can't be used here"),
        (["--strategy", "skip"], "error: --strategy needs a checkpoint: python -m harness list CHECKPOINT --strategy"),
        (["--measure"], "error: --measure needs a checkpoint: "),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(["list", *arguments]) == 4
    written = capsys.readouterr()
    assert written.err.startswith(message)
    assert written.err.count("\n") == 1
    assert written.out == ""


def test_measuring_needs_the_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["list", "flux.1-schnell", "--measure"]) == 4
    assert "hf download black-forest-labs/FLUX.1-schnell" in capsys.readouterr().err


def test_diffusers_names_of_stacks_are_taken(capsys):
    grid = ("--range", "2", "--strategy", "skip")
    (case,) = told(capsys, "flux-tiny", "--stack", "single_transformer_blocks", *grid)["cases"]
    assert case["id"] == "flux-tiny-single-L02-skip"
    assert told(capsys, "sd3-tiny", "--plan", "transformer_blocks: 0 2-11")["cases"][0]["stack"] == "joint"


def test_a_pruned_checkpoint_says_what_it_lacks(tmp_path, capsys):
    lacks = "11 of 19 double of flux.1-dev"
    first = said(capsys, "flux.1-lite-8b").splitlines()[0]
    assert first.endswith(f"; it was pruned: it lacks {lacks}; its own blocks are counted from 0")
    assert told(capsys, "flux.1-lite-8b")["lacks"] == lacks
    assert "pruned" not in said(capsys, "flux.1-dev")
    assert told(capsys, "flux.1-dev")["lacks"] == ""
    folder = pruned_flux_tiny(tmp_path)
    prompts = str(BUNDLED / "prompts.txt")
    assert "it lacks 1 and 3 of double;" in said(capsys, str(folder), "--prompts", prompts)
