"""``python -m harness list``: what there is, and a sweep's cost before anything is loaded."""

from __future__ import annotations

import json
import math

import pytest

from harness.ablation.grid import Ask, expand
from harness.ablation.ranges import DEPTHS
from harness.ablation.strategies import EVERY, STRATEGIES
from harness.api import sweep
from harness.cli.inventory import RANGES, cached
from harness.cli.list import duration
from harness.cli.main import main
from harness.lab import cost
from harness.lab.lab import Lab
from harness.metrics.registry import BUILT_IN
from harness.models.checkpoints.published import PUBLISHED
from harness.models.checkpoints.resolve import bundled_names, resolve
from harness.models.spec import Settings

STACKS = {"double": 5, "single": 10}
SETTINGS = Settings(steps=4, batch=64, seeds=4)


def said(capsys, *arguments, code=0):
    assert main(["list", *arguments]) == code
    return capsys.readouterr().out


def told(capsys, *arguments):
    return json.loads(said(capsys, *arguments, "--json"))


def cases_of(*asks):
    return expand("flux-tiny", STACKS, asks)


def test_the_arithmetic():
    cases = cases_of(Ask(("double",), ("middle",), ("skip", "reverse", "parallel.t3")))
    found = cost.cost(STACKS, SETTINGS, "flux", cases, 100)
    assert (found.cases, found.images, found.control_images) == (3, 300, 400)
    assert found.forwards == (3 + 4) * 4 * 2  # two batches for a hundred prompts
    assert found.together == 64
    assert not found.guided
    # The middle of 5 is 3 blocks of 15: skip leaves them out, three loops run them three times.
    assert [cost.share(c, STACKS) for c in cases] == pytest.approx([12 / 15, 1, 21 / 15])
    assert found.work == pytest.approx((12 + 15 + 21) / 45)
    assert found.controls == pytest.approx(4 + (12 + 15 + 21) / 15)
    assert found.disk == 4 * (4_000 + 2 * 8 * 80 * 80 * 3 + 130 * 100)
    # Two batches of 3 s, of which 1 s is not the transformer's, for 3 cases and 4 seeds.
    assert cost.cost(STACKS, SETTINGS, "flux", cases, 128).seconds(3.0, 0.5) == pytest.approx(
        2 * (7 * 1.0 + (4 + 48 / 15) * 2.0)
    )


@pytest.mark.parametrize(
    ("family", "guidance", "guided"),
    [("flux", 3.5, False), ("sd3", 7.0, True), ("sd3", 1.0, False), ("auraflow", 3.5, True), ("auraflow", 0.0, False)],
)
def test_guidance_in_one_batch_is_said(family, guidance, guided):
    found = cost.cost(STACKS, Settings(guidance=guidance), family, cases_of(Ask(("double",), ("0",), ("skip",))), 8, 20)
    assert found.guided is guided
    assert ("each twice for guidance" in cost.line(found)) is guided
    assert found.forwards == 5 * 20 * 8  # steps are those asked for, one image a forward


def test_the_line_of_the_header():
    cases = cases_of(Ask(("double", "single"), ("middle",), EVERY))
    assert cost.line(cost.cost(STACKS, SETTINGS, "flux", cases, 64)) == (
        "20 cases: 1,280 images and 256 of the control, 96 forwards of 64 images, 1.03 of the control's blocks"
    )
    assert cost.line(cost.cost(STACKS, SETTINGS, "flux", cases[:1], 0)) == "1 case"


def test_the_plan_is_what_is_run(capsys):
    """Every forward of a real sweep, and the images in it, counted on the model."""
    prompts = ["a large solid red circle on a grey background", "a small solid red cross on a black background"]
    lab = Lab("flux-tiny", prompts=prompts)
    ran: list[int] = []
    lab.transformer.register_forward_pre_hook(
        lambda _module, _args, given: ran.append(len(given["hidden_states"])), with_kwargs=True
    )
    list(sweep(lab, stacks="double", strategies="skip,swap"))
    cases = expand("flux-tiny", STACKS, [Ask(("double",), ("middle",), ("skip", "swap"))])
    found = cost.cost(lab.checkpoint.stacks, lab.checkpoint.settings, "flux", cases, len(prompts))
    assert len(ran) == found.forwards
    assert set(ran) == {found.together}
    assert sum(ran) == (found.images + found.control_images) * found.steps


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
    assert found["cost"]["guided"] is (name == "sd3.5-medium")
    assert (found["timed"], found["cost"]["seconds"]) == (None, None)
    text = said(capsys, *arguments)
    for case in found["cases"]:
        assert f"{case['id'].removeprefix(name + '-')} " in text
    assert f"\nforwards  {found['cost']['forwards']:,} of " in text
    assert ("each image in it twice" in text) is found["cost"]["guided"]
    assert "\ntime      not known: --measure loads the checkpoint and times one batch\n" in text


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
    assert "time      about " in said(capsys, *arguments, "--measure", "--device", "cpu")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (119.4, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_whether_weights_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert cached("org/model", 12.4) == "not here, 12 GB"
    repository = tmp_path / "models--org--model"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "abc.incomplete").write_text("")
    assert cached("org/model") == "half-downloaded"
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    snapshot = repository / "snapshots" / "abc123"
    (snapshot / "transformer").mkdir(parents=True)
    assert cached("org/model") == "half-downloaded: model_index.json is missing"
    (snapshot / "model_index.json").write_text('{"transformer": ["diffusers", "FluxTransformer2DModel"]}')
    (snapshot / "transformer" / "config.json").write_text("{}")
    assert cached("org/model", 3) == ("half-downloaded, 3 GB: transformer/*.safetensors is missing")
    (snapshot / "transformer" / "diffusion_pytorch_model-00001-of-00002.safetensors").write_text("")
    assert cached("org/model") == (
        "half-downloaded: transformer/diffusion_pytorch_model.safetensors.index.json is missing"
    )
    (snapshot / "transformer" / "diffusion_pytorch_model.safetensors").write_text("")
    assert cached("org/model") == "here"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flux-tinny"], "error: checkpoint 'flux-tinny' is neither"),
        (["flux-tiny", "--stack", "joint"], "error: checkpoint 'flux-tiny' has no stack 'joint'; it has double (5"),
        (["flux-tiny", "--range", "9-7"], "error: range '9-7' for stack 'double' doesn't fit its 5 blocks (0-4)"),
        (["flux-tiny", "--strategy", "skp"], "error: unknown strategy 'skp'; there are skip, "),
        (["flux-tiny", "--plan", "0-3"], "error: plan '0-3' names no stack"),
        (["flux-tiny", "--plan", "double: 0-4"], "error: plan 'double: 0-4' runs stack 'double' as it is"),
        (["flux-tiny", "--steps", "0"], "error: --steps takes a whole number from 1, not '0'"),
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
