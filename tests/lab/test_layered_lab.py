"""Qwen-Image-Layered with random weights, saved and loaded by diffusers: plans and what they do to each layer."""

from __future__ import annotations

import re
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.errors import CheckpointError, DataError, PlanError, PromptError, SurgeryError
from harness.lab.layered_lab import Decomposition, LayeredLab
from harness.lab.pictures import drawn_pictures
from harness.metrics.judge import OpenClipJudge
from harness.models.checkpoints.resolve import BUNDLED
from harness.models.layers import alpha_drift, composite, layer_drift
from harness.models.sampler import generator_for
from tests.helpers import pipelines
from tests.helpers.needs import needs

pytestmark = needs("diffusers.QwenImageLayeredPipeline")
PROMPT = "a large solid red circle on a white background"
SETTINGS = Decomposition(layers=2, steps=1, guidance=1.0)
GREY = Image.new("RGB", (8, 8), "grey")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = pipelines.save_layered(tmp_path_factory.mktemp("layered"))
    return diffusers.QwenImageLayeredPipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def layered(pipeline):
    return LayeredLab(pipeline, drawn_pictures([PROMPT]), SETTINGS, judge=BUNDLED / "judge")


@pytest.fixture(scope="module")
def skipped(layered):
    return layered.run("transformer_blocks: 0 2-3")


def test_a_decomposition_is_what_the_pipeline_gives(layered):
    picture = layered.pictures[0]
    (plain,) = layered.pipeline(
        picture.image,
        PROMPT,
        negative_prompt=" ",
        layers=2,
        num_inference_steps=1,
        true_cfg_scale=1.0,
        resolution=640,
        generator=generator_for(PROMPT, 0),
        output_type="pt",
    ).images
    made = layered.decompose(0, 0)
    assert (made.shape, made.dtype) == ((2, 4, 640, 640), torch.uint8)
    assert torch.equal(made, plain.clamp(0, 1).mul(255).round().to(torch.uint8))
    assert made[:, 3].float().std() > 0  # alpha is of the picture, not a constant


def test_the_identity_behind_slots_is_the_control_to_the_bit(layered):
    same = layered.run("transformer_blocks: 0-3", force_slots=True)
    assert same.identical
    assert set(same.summary.values()) == {0.0}
    assert str(same).splitlines()[0] == "transformer_blocks: 0-3: 1 picture x 2 seeds; bitwise the control"


def test_a_skip_moves_every_layer_its_alpha_and_the_composite(layered, skipped):
    assert not skipped.identical
    assert skipped.collapsed == 0
    distances = skipped.distances
    assert (distances.colour.shape, distances.alpha.shape, distances.composite.shape) == ((2, 2), (2, 2), (2,))
    assert (distances.colour > 0).all()
    assert (distances.alpha > 0).all()
    assert (distances.composite > 0).all()
    assert skipped.between_seeds.colour.shape == (1, 2)
    assert (skipped.between_seeds.colour > 0).all()


def test_the_figures_are_those_of_layers_made_by_hand(layered, skipped):
    control = layered.decompose(0, 1).float() / 255
    blocks = layered.pipeline.transformer.transformer_blocks
    kept = blocks[1]
    # A list without the block: nothing of Qwen-Image's blocks is passed by index.
    layered.pipeline.transformer.transformer_blocks = torch.nn.ModuleList([blocks[0], blocks[2], blocks[3]])
    try:
        variant = layered.decompose(0, 1).float() / 255
    finally:
        layered.pipeline.transformer.transformer_blocks = blocks
    assert layered.pipeline.transformer.transformer_blocks[1] is kept
    np.testing.assert_array_equal(skipped.distances.colour[1], layer_drift(control, variant).double())
    np.testing.assert_array_equal(skipped.distances.alpha[1], alpha_drift(control, variant).double())
    apart = (composite(control) - composite(variant)).square().mean()
    np.testing.assert_array_equal(skipped.distances.composite[1], apart.double())


def test_harm_is_the_judges_score_of_control_less_that_of_the_variant(layered, skipped):
    assert skipped.harm.layers.shape == (2, 2)
    assert skipped.harm.composite.shape == (2,)
    assert np.isfinite(skipped.harm.layers).all()
    scores = []
    judge = OpenClipJudge(BUNDLED / "judge", torch.device("cpu"))
    for seed in (0, 1):
        pixels = composite(layered.decompose(0, seed).float() / 255).mul(255).round().to(torch.uint8)
        scores += judge.score(judge.embed_images(pixels[None].numpy()), [PROMPT]).tolist()
    assert skipped.harm.seed_sd == pytest.approx(np.std(scores, ddof=1), abs=1e-5)
    assert skipped.harm.composite.any()
    assert {"layer_harm", "layer_harm_0", "layer_harm_1", "composite_harm"} < set(skipped.summary)


def test_without_a_judge_and_a_second_seed_there_is_drift_alone(pipeline):
    lab = LayeredLab(pipeline, [(GREY, "a grey square")], Decomposition(layers=1, steps=1), seeds=[3, 3])
    measured = lab.run("0 1 3", "transformer_blocks")
    assert (measured.plan, measured.seeds) == ("transformer_blocks: 0 1 3", (3,))
    assert measured.harm is None
    assert measured.between_seeds is None
    assert set(measured.summary) == {
        "layer_drift", "layer_drift_0", "alpha_drift", "alpha_drift_0", "composite_drift",
    }  # fmt: skip
    assert measured.summary["layer_drift"] > 0


def test_what_is_not_a_number_is_grey_and_has_collapsed(layered):
    assert layered._control  # of the model as it is
    bias = layered.pipeline.transformer.proj_out.bias
    kept = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(torch.nan)
    try:
        broken = layered.run("transformer_blocks: 0-3")
    finally:
        with torch.no_grad():
            bias.copy_(kept)
    assert broken.collapsed == 2
    assert not broken.identical
    assert np.isfinite(list(broken.summary.values())).all()
    assert broken.summary["alpha_drift"] > 0
    assert "2 composites collapsed" in str(broken)


def test_what_cannot_be_taken_apart_is_refused(pipeline):
    with pytest.raises(CheckpointError, match="a Linear makes no layers: LayeredLab takes a loaded QwenImageLayered"):
        LayeredLab(torch.nn.Linear(1, 1), [(GREY, "grey")])
    with pytest.raises(CheckpointError, match="a str makes no layers"):
        LayeredLab("a folder", [(GREY, "grey")])
    with pytest.raises(PromptError, match="picture 1 has no description; write down what is on it"):
        LayeredLab(pipeline, [(GREY, "grey"), (GREY, " ")])
    with pytest.raises(DataError, match="picture 0 is a str, not an image of PIL"):
        LayeredLab(pipeline, [("grey.png", "grey")])
    with pytest.raises(DataError, match="0 pictures and 2 seeds"):
        LayeredLab(pipeline, [])
    with pytest.raises(DataError, match="1 pictures and 0 seeds"):
        LayeredLab(pipeline, [(GREY, "grey")], seeds=[])


def test_a_plan_that_does_not_fit_costs_no_decomposition(pipeline, monkeypatch):
    lab = LayeredLab(pipeline, [(GREY, "grey")], SETTINGS)
    monkeypatch.setattr(lab, "_all", lambda: pytest.fail("the control was made"))
    with pytest.raises(PlanError):
        lab.run("transformer_blocks: 0-9")


def test_a_plan_that_takes_no_hold_is_told(layered, monkeypatch):
    monkeypatch.setattr("harness.surgery.view.AblationView.install", lambda _view: None)
    with pytest.raises(SurgeryError, match="the ablation did not take hold as written"):
        layered.run("transformer_blocks: 0 2-3")


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"layers": 0}, "not 0 and 50"), ({"steps": 0}, "not 4 and 0"), ({"resolution": 512}, "640 or 1024, not 512")],
)
def test_settings_that_the_pipeline_does_not_take_are_refused(changed, said):
    with pytest.raises(DataError, match=said):
        Decomposition(**changed)


def test_the_example_in_the_docs_runs(pipeline, tmp_path, capsys):
    page = (Path(harness.__file__).parent.parent / "docs" / "checkpoints.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "LayeredLab" in block)
    pipeline.save_pretrained(tmp_path / "model")
    (picture,) = drawn_pictures([PROMPT])
    (tmp_path / "pictures").mkdir()
    picture.image.save(tmp_path / "pictures" / "circle.png")
    (tmp_path / "pictures" / "circle.txt").write_text(PROMPT)
    small = {
        '"FOLDER", torch_dtype=torch.bfloat16).to("cuda")': f'"{tmp_path / "model"}")',
        "PICTURES": str(tmp_path / "pictures"),
        "JUDGE": str(BUNDLED / "judge"),
        "layers=4, steps=50": "layers=1, steps=1",
        "range(1, 4)": "range(1, 2)",
        "-59": "-3",
    }
    for written, here in small.items():
        assert code.count(written) == 1
        code = code.replace(written, here)
    exec(code, {})
    title, headings, layer, mean, whole, unit, figure = capsys.readouterr().out.splitlines()
    assert title == "transformer_blocks: 0 2 3: 1 picture x 2 seeds"
    assert headings.split("  ")[-1] == "harm [points]"
    assert (layer[:7], mean[:14], whole[:9], unit[:13]) == ("layer 0", "mean of layers", "composite", "between seeds")
    assert float(figure) > 0
