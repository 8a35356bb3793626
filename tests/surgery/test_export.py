"""A pruned model that was saved is bitwise the ablated one, and what can't be saved is refused with the reason."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxTransformer2DModel, PixArtTransformer2DModel, SD3Transformer2DModel

from harness.ablation.plan import parse
from harness.errors import ExportError, PlanError, SurgeryError
from harness.surgery.export import check_saved, export
from harness.surgery.pruning import chosen, family_of, prune
from harness.surgery.view import ablate
from tests.helpers import models
from tests.helpers.models import ablated

PLANS = [
    pytest.param("flux", {}, ["double: 0-1 3"], id="flux-skip"),
    pytest.param("flux", {}, ["double: 0 2 1 3", "single: 5-3 1"], id="flux-both"),
    pytest.param("flux", {}, ["double: -"], id="flux-no-double"),
    pytest.param("flux", {}, ["single: -"], id="flux-no-single"),
    pytest.param("flux", {}, ["double: -", "single: -"], id="flux-nothing"),
    pytest.param("auraflow", {}, ["double: 1-3", "single: 5 0-4"], id="auraflow-both"),
    pytest.param("auraflow", {}, ["double: -"], id="auraflow-no-double"),
    pytest.param("auraflow", {}, ["single: -"], id="auraflow-no-single"),
    pytest.param("sd3", {}, ["joint: 0 1 4 5"], id="sd3-skip"),
    pytest.param("sd3", {"dual": (0, 1, 2)}, ["joint: 0 2 4 1 5"], id="sd3-dual-order"),
    pytest.param("sd3", {}, ["joint: 0-4"], id="sd3-skip-last"),
    pytest.param("sd3", {"dual": (0, 1, 2)}, ["joint: 3 2 0 1"], id="sd3-dual-is-last"),
    pytest.param("sd3", {}, ["joint: -"], id="sd3-nothing"),
]


def stack_of(text):
    return text.split(":", 1)[0]


@pytest.mark.parametrize(("family", "options", "plans"), PLANS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_saved_is_bitwise_the_ablated_model(family, options, plans, dtype, tmp_path):
    model, arguments = models.FAMILIES[family](**options)
    model.to(dtype)
    arguments = {k: v.to(dtype) if torch.is_tensor(v) and k != "timestep" else v for k, v in arguments.items()}
    made = export(model, plans, tmp_path / "out")
    again = type(model).from_pretrained(tmp_path / "out", torch_dtype=dtype).eval()
    with torch.inference_mode():
        got = again(**arguments)[0]
    assert torch.equal(got, ablated(model, plans, arguments))
    assert torch.isfinite(got).all()
    assert made.tensors == len(again.state_dict())
    for text in plans:
        blocks = tuple(parse(text.split(":")[1]).blocks())
        assert made.blocks[stack_of(text)] == blocks


def test_the_config_says_what_is_left(tmp_path):
    model, _ = models.sd3(6, dual=(0, 1, 3))
    made = export(model, "joint: 3 0 2 5", tmp_path / "out", checkpoint="mine", weights="0123456789ab")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["_class_name"] == "SD3Transformer2DModel"
    assert (config["num_layers"], config["dual_attention_layers"]) == (4, [0, 1])
    told = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert told["plans"] == {"joint": "3 0 2 5"}
    assert told["blocks"] == {"joint": [3, 0, 2, 5]}
    assert (told["checkpoint"], told["weights"], told["lengths"]) == ("mine", "0123456789ab", {"joint": 6})
    assert told["sha256"] == made.sha256
    assert set(told["versions"]) >= {"torch", "diffusers", "safetensors"}
    assert "text branch" not in told["converted"]
    assert "text branch" in export(model, "joint: 0-3", tmp_path / "other").converted


def test_the_card_says_what_is_left_and_of_what(tmp_path):
    model, _ = models.flux()
    export(SimpleNamespace(transformer=model), "transformer_blocks: 0-2", tmp_path / "out", checkpoint="flux.1-dev")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\nbase_model: black-forest-labs/FLUX.1-dev\nlibrary_name: diffusers\n" in card
    assert "| double | 0-2 | 1 of 4: 3 |" in card
    assert "| single | 0-5 | none of 6 |" in card
    assert "not measured" in card
    assert json.loads((tmp_path / "out" / "ablation.json").read_text())["plans"] == {"double": "0-2"}
    export(model, "double: 0-2", tmp_path / "mine", checkpoint="mine", base_model="me/mine")
    assert "\nbase_model: me/mine\n" in (tmp_path / "mine" / "README.md").read_text()
    with pytest.raises(ExportError, match=r"base_model 'a/b\\nlicense: mit' is no hub id; write it like org/name"):
        export(model, "double: 0-2", tmp_path / "odd", base_model="a/b\nlicense: mit")
    export(model, "double: 0-2", tmp_path / "id", checkpoint="org/other")
    assert "\nbase_model: org/other\n" in (tmp_path / "id" / "README.md").read_text()


def test_the_original_stays_as_it_was(tmp_path):
    model, arguments = models.sd3(4, dual=(1,))
    with torch.inference_mode():
        before = model(**arguments)[0]
        export(model, "joint: 1 0 2", tmp_path / "out")
        assert torch.equal(model(**arguments)[0], before)
    assert model.config.num_layers == 4


@pytest.mark.parametrize(
    ("family", "plans", "error", "message"),
    [
        ("flux", "double: 0 1 1 3", ExportError, "plan '0 1 1 3' over stack 'double' can't be saved: block 1 runs 2"),
        (
            "flux",
            "double: 0 (1)x3 3",
            ExportError,
            "block 1 runs 3 times, and a saved FluxTransformer2DModel runs each",
        ),
        ("flux", "double: 0 (1|2)x3 3", ExportError, r"'\(1\|2\)x3' runs blocks side by side on the same input"),
        ("flux", "single: 0 (1 2|3)~", ExportError, r"'\(1 2\|3\)~' runs blocks side by side"),
        ("flux", "double: 0-3", ExportError, "there is nothing to leave out"),
        ("flux", ["double: 0-2", "double: 1-3"], ExportError, "two plans for stack 'double'; write them as one"),
        ("flux", "double: 0-4", PlanError, "block 4 is out of range"),
        ("flux", "0-2", SurgeryError, "name one of its stacks; it has double, single"),
        ("flux", "joint: 0-2", SurgeryError, "there is no stack 'joint'; it has double, single"),
        (
            "sd3",
            "joint: 0 5 1",
            ExportError,
            r"block 5 gives no text \(context_pre_only\).*runs it at place 1 of 3; put it last or leave it out",
        ),
    ],
)
def test_what_can_not_be_saved_is_refused(family, plans, error, message, tmp_path):
    model, _ = models.FAMILIES[family]()
    with pytest.raises(error, match=message):
        export(model, plans, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_models_that_are_not_plain_are_refused(tmp_path):
    model, _ = models.flux()
    with ablate(model, "double: 0-2"), pytest.raises(ExportError, match=r"under a plan; leave its ablate\(\) first"):
        export(model, "double: 0-1", tmp_path / "out")
    model.peft_config = {"default": {}}
    with pytest.raises(ExportError, match=r"has a LoRA on it; fuse it"):
        export(model, "double: 0-1", tmp_path / "out")
    del model.peft_config
    model.transformer_blocks[0].extra = torch.nn.Linear(2, 2)
    with pytest.raises(ExportError, match=r"not those of its config \(2 names differ, 'transformer_blocks.0.extra"):
        export(model, "double: 0-1", tmp_path / "out")
    with torch.device("meta"):
        hollow = FluxTransformer2DModel(num_layers=2, num_single_layers=1, attention_head_dim=8)
    with pytest.raises(ExportError, match="offloaded"):
        export(hollow, "double: 0", tmp_path / "out")
    other = PixArtTransformer2DModel(num_layers=2, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16)
    with pytest.raises(ExportError, match="can't save a pruned PixArtTransformer2DModel: known are Flux"):
        export(other, "transformer_blocks: 0", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    model, _ = models.flux()
    full, file, empty = tmp_path / "full", tmp_path / "file", tmp_path / "deep" / "empty"
    full.mkdir()
    (full / "something").write_text("")
    file.write_text("")
    with pytest.raises(ExportError, match="full is not empty; name a folder that isn't there yet, or empty it"):
        export(model, "double: 0", full)
    with pytest.raises(ExportError, match="file is a file, not a folder"):
        export(model, "double: 0", file)
    with pytest.raises(ExportError, match=r"can't write .*file.below: (File exists|Not a directory)"):
        export(model, "double: 0", file / "below")
    empty.mkdir(parents=True)
    export(model, "double: 0", empty)
    assert {path.name for path in empty.iterdir()} == {
        "README.md",
        "ablation.json",
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert oct(empty.stat().st_mode & 0o777) == "0o755"

    def broken(self, folder, **_):
        (folder / "config.json").write_text("{}")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(FluxTransformer2DModel, "save_pretrained", broken)
    with pytest.raises(ExportError, match=r"can't write .*later: No space left on device"):
        export(model, "double: 0", tmp_path / "later")
    assert {path.name for path in tmp_path.iterdir()} == {"full", "file", "deep"}


def test_what_was_saved_is_really_compared(tmp_path):
    model, _ = models.flux()
    pruned, _ = prune(model, family_of(model), chosen(model, "double: 0"))
    pruned.save_pretrained(tmp_path)
    assert len(check_saved(tmp_path, pruned)) == 1
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_layers": 2}))
    with pytest.raises(ExportError, match=r"not the model that its config\.json describes"):
        check_saved(tmp_path, pruned)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (weights,) = tmp_path.glob("*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ExportError, match=r"doesn't hold '.*' as it was after saving"):
        check_saved(tmp_path, pruned)


def test_a_sharded_model_is_compared_too(tmp_path):
    model, _ = models.sd3(4)
    pruned, _ = prune(model, family_of(model), chosen(model, "joint: 0 1 3"))
    assert isinstance(pruned, SD3Transformer2DModel)
    pruned.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(check_saved(tmp_path, pruned)) > 1
