"""A checkpoint is data: one that brings code, or names classes elsewhere, is refused before a library sees it."""

from __future__ import annotations

import json
import shutil

import pytest

from harness.errors import CheckpointError
from harness.models.checkpoints.foreign_code import refuse_code_files, refuse_foreign_code
from harness.models.checkpoints.resolve import BUNDLED, bundled_names, resolve
from harness.models.checkpoints.weight_files import check_files
from tests.helpers import hubs


def named(folder, **index):
    """Change entries of a folder's model_index.json."""
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | index))


def message(name):
    with pytest.raises(CheckpointError) as caught:
        resolve(str(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def mine(tmp_path):
    return shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "mine")


@pytest.mark.parametrize("name", bundled_names())
def test_the_bundled_ones_bring_none(name):
    folder = BUNDLED / name
    refuse_foreign_code(folder, json.loads((folder / "model_index.json").read_text()))


@pytest.mark.parametrize("component", ["vae", "text_encoder", "scheduler", "tokenizer", "transformer", "more"])
@pytest.mark.parametrize("library", ["evil", "antigravity", "os", "flux", "diffusers.pipelines", "", "Diffusers"])
def test_a_component_of_another_library_is_refused(mine, component, library):
    kind = "FluxTransformer2DModel" if component == "transformer" else "Innocent"
    named(mine, **{component: [library, kind]})
    said = message(mine)
    assert f'model_index.json has "{component}": ["{library}", "{kind}"]; only classes of diffusers and' in said


@pytest.mark.parametrize(
    "value",
    [
        ["diffusers", "DiffusionPipeline"],  # reads another model_index.json
        ["diffusers", "ModularPipeline"],
        ["diffusers", "AutoModel"],
        ["transformers", "AutoTokenizer"],
        ["transformers", "AutoModelForCausalLM"],
        ["transformers", "models.clip"],
        ["diffusers", ""],
    ],
)
def test_a_class_that_chooses_another_by_the_folder_is_refused(mine, value):
    named(mine, vae=value)
    assert "of one class" in message(mine)


@pytest.mark.parametrize(
    "value", [[], ["diffusers"], ["diffusers", "A", "B"], [None, "A"], ["diffusers", None], [1, 2]]
)
def test_a_component_that_is_no_pair_is_one_line(mine, value):
    named(mine, vae=value)
    assert "where a library and a class are needed" in message(mine)


def test_a_list_of_numbers_is_a_setting_of_the_pipeline(mine):
    """Krea-2's ``text_encoder_select_layers``."""
    named(mine, text_encoder_select_layers=[8, 16, 24])
    assert resolve(str(mine)).stacks == {"double": 5, "single": 10}


def test_a_component_outside_the_folder_is_refused(mine):
    named(mine, **{"../../elsewhere": ["diffusers", "AutoencoderKL"]})
    assert "a component is a folder with" in message(mine)


def test_what_is_no_component_is_left_alone(mine):
    named(mine, image_encoder=[None, None], is_distilled=True, _comment=["evil", "Innocent"], shift=3.0)
    assert resolve(str(mine)).stacks == {"double": 5, "single": 10}


@pytest.mark.parametrize("path", ["vae/evil.py", "pipeline.py", "more/deep/x.PY", "vae/fast.so", "scheduler/a.pyc"])
def test_a_file_of_code_is_refused_also_in_the_hubs_cache(mine, path, cache):
    (mine / path).parent.mkdir(parents=True, exist_ok=True)
    (mine / path).write_text("raise SystemExit")
    assert f"holds code: {path}; " in message(mine)
    hubs.put(cache, "someone/flux-small", mine)
    assert message("someone/flux-small").startswith(f"checkpoint someone/flux-small holds code: {path}; ")


def test_code_behind_a_link_to_a_components_folder_is_found(mine, tmp_path):
    shutil.move(mine / "vae", tmp_path / "theirs")
    (mine / "vae").symlink_to(tmp_path / "theirs")
    assert resolve(str(mine)).stacks
    (tmp_path / "theirs" / "evil.py").write_text("")
    assert "holds code: vae/evil.py; " in message(mine)


def test_hidden_folders_hold_what_nobody_loads(mine):
    (mine / ".git" / "hooks").mkdir(parents=True)
    (mine / ".git" / "hooks" / "a.py").write_text("")
    assert resolve(str(mine)).stacks


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_attention_code_from_the_hub_is_refused(mine, key):
    path = mine / "text_encoder" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {key: "eager"}))
    assert resolve(str(mine)).stacks
    path.write_text(json.dumps(config | {"text_config": {key: "evil/kernel"}}))
    assert f'text_encoder/config.json asks for code from the hub ({key}: "evil/kernel")' in message(mine)


def test_it_is_looked_at_again_when_it_is_loaded(mine):
    """A run takes minutes, and a folder may have changed since its cases were collected."""
    check_files(mine)
    named(mine, vae=["evil", "Innocent"])
    with pytest.raises(CheckpointError, match="only classes of diffusers and transformers are loaded"):
        check_files(mine)


def test_a_judge_with_code_is_refused(tmp_path):
    from harness.metrics import openclip

    judge = shutil.copytree(BUNDLED / "judge", tmp_path / "judge")
    assert openclip.find(judge)
    config = json.loads((judge / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"]["trust_remote_code"] = True
    (judge / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="asks to run code"):
        openclip.find(judge)
    (judge / "evil.py").write_text("")
    with pytest.raises(CheckpointError, match=r"judge .* holds code: evil\.py"):
        openclip.find(judge)
    with pytest.raises(CheckpointError, match="holds code"):
        refuse_code_files(judge, "judge")
