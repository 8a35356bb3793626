"""Which pipelines get a family by their source, and the one reason why another doesn't."""

from __future__ import annotations

import ast
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.errors import CheckpointError
from harness.models.checkpoints.class_source import pipeline_source
from harness.models.checkpoints.general_family import general_family, with_present_stacks
from harness.models.checkpoints.resolve import resolve
from harness.models.spec import FAMILIES
from tests.helpers.needs import needs


def index(pipeline, transformer, **more):
    components = {name: ["diffusers", kind] for name, kind in more.items()}
    return {"_class_name": pipeline, "transformer": ["diffusers", transformer], **components}


def refusal(pipeline, transformer, **more):
    with pytest.raises(CheckpointError) as caught:
        general_family(index(pipeline, transformer, **more), "checkpoint x")
    said = str(caught.value)
    assert said.startswith(f"checkpoint x is a {pipeline} with ")
    assert "\n" not in said
    return said


QWEN = "QwenImageTransformer2DModel"
REFUSED = [
    (("QwenImageEditPipeline", QWEN), "makes images from images (image)"),
    (("QwenImageInpaintPipeline", QWEN), "makes images from images (strength)"),
    (("QwenImageControlNetPipeline", QWEN), "makes images from images (control_image)"),
    (("ZImageImg2ImgPipeline", "ZImageTransformer2DModel"), "makes images from images (strength)"),
    (("FluxFillPipeline", "FluxTransformer2DModel"), "makes images from images (strength)"),
    (("WanPipeline", "WanTransformer3DModel"), "makes videos (num_frames)"),
    (("HunyuanVideoPipeline", "HunyuanVideoTransformer3DModel"), "makes videos (num_frames)"),
    (("CogVideoXFunControlPipeline", "CogVideoXTransformer3DModel"), "makes videos (control_video)"),
    (("StableAudioPipeline", "StableAudioDiTModel"), "makes sound (audio_end_in_s)"),
    (("DiTPipeline", "DiTTransformer2DModel"), "has no encode_prompt and no prepare_latents"),
    (("StableDiffusion3PAGPipeline", "SD3Transformer2DModel"), "of a SD3Transformer2DModel only StableDiffusion3Pip"),
    (("LongCatImagePipeline", "LongCatImageTransformer2DModel"), "has no callback"),
    (("HiDreamImagePipeline", "HiDreamImageTransformer2DModel"), "takes no prompt_embeds"),
]


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        pytest.param(classes, reason, id=classes[0], marks=needs(f"diffusers.{classes[0]}"))
        for classes, reason in REFUSED
    ],
)
def test_what_does_not_make_images_from_prompts_is_refused_with_one_reason(classes, reason):
    said = refusal(*classes)
    assert f"{classes[1]}: " in said
    assert reason in said
    assert said.endswith("; ablate(pipeline, plan) works on it as it is (docs/library.md)")


def test_components_that_cases_cannot_use_are_refused():
    assert "images take two transformers" in refusal("WanPipeline", "WanTransformer3DModel", transformer_2="Wan")
    sana = ("SanaPipeline", "SanaTransformer2DModel")
    assert "it has a ControlNet" in refusal(*sana, controlnet="SanaControlNetModel")
    assert "has no pipeline of that name; install one that has it" in refusal("NoSuchPipeline", QWEN)


def test_every_pipeline_with_a_transformer_has_a_family_or_one_reason():
    """All of the installed diffusers: nothing is left to a traceback."""
    root = Path(find_spec("diffusers").submodule_search_locations[0]) / "pipelines"
    names = {
        node.name
        for path in root.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Pipeline")
    }
    own = {family.pipeline for family in FAMILIES.values()}
    sources = {name: source for name in names - own if (source := pipeline_source(name)) and source.transformer}
    taken, refused = [], []
    for name, source in sources.items():
        try:
            taken.append(general_family(index(name, source.transformer), "x"))
        except CheckpointError as error:
            refused.append(str(error))
    assert all(family.stacks and family.settings.steps > 0 for family in taken)
    assert all("\n" not in said and len(said) < 300 for said in refused)
    assert len(taken) >= 4  # 29 in diffusers 0.42.1; an old one has few
    assert refused


@needs("diffusers.QwenImagePipeline")
def test_settings_are_the_defaults_of_the_call_with_guidance_in_a_second_forward():
    family = general_family(index("QwenImagePipeline", QWEN, vae="AutoencoderKLQwenImage"), "x")
    settings = family.settings
    assert (settings.steps, settings.guidance, settings.max_sequence_length) == (50, 4.0, 512)
    assert (family.name, family.general, family.guidance_batched, family.token_latents) == ("qwenimage", True, False, 2)


def test_settings_are_the_defaults_of_the_call_with_guidance_in_one_forward():
    sana = general_family(index("SanaPipeline", "SanaTransformer2DModel", vae="AutoencoderDC"), "x")
    assert (sana.settings.steps, sana.guidance_batched, sana.token_latents) == (20, True, 1)


def test_a_pipeline_that_takes_pictures_apart_is_one_with_its_resolution_for_a_size():
    if pipeline_source("QwenImageLayeredPipeline") is None:
        pytest.skip("this diffusers has no QwenImageLayeredPipeline")
    family = general_family(index("QwenImageLayeredPipeline", QWEN), "x")
    settings = family.settings
    assert (family.layered, family.general, family.guidance_batched) == (True, True, False)
    assert (settings.layers, settings.height, settings.width, settings.steps) == (4, 640, 640, 50)
    assert (settings.guidance, settings.negative_prompt) == (4.0, " ")
    assert not general_family(index("QwenImagePipeline", QWEN), "x").layered


def test_an_older_name_of_a_transformer_is_that_of_today():
    """PixArt-Sigma's own model_index.json."""
    family = general_family(index("PixArtSigmaPipeline", "Transformer2DModel"), "x")
    assert family.transformer == "PixArtTransformer2DModel"
    assert [stack.length_key for stack in family.stacks] == ["num_layers"]


@needs("diffusers.ZImagePipeline")
def test_a_list_with_one_block_is_no_stack():
    family = general_family(index("ZImagePipeline", "ZImageTransformer2DModel"), "x")
    kept = with_present_stacks(family, {"n_layers": 4, "n_refiner_layers": 1}, Path("x"))
    assert [stack.name for stack in kept.stacks] == ["layers"]
    with pytest.raises(CheckpointError, match="no list of blocks has more than one"):
        with_present_stacks(family, {"n_layers": 1, "n_refiner_layers": 0}, Path("x"))


@needs("diffusers.QwenImagePipeline")
def test_parts_of_a_block_are_not_guessed():
    family = general_family(index("QwenImagePipeline", QWEN), "x")
    lacking = family.parts["transformer_blocks"].lacking
    assert {"it isn't known which outputs of its blocks are text and which image"} < set(lacking.values())


def test_a_modular_pipeline_is_refused_with_the_reason(tmp_path):
    (tmp_path / "modular_model_index.json").write_text(json.dumps({"_class_name": "Flux3ModularPipeline"}))
    with pytest.raises(
        CheckpointError, match=r"is a modular pipeline \(Flux3ModularPipeline\), put together from steps"
    ):
        resolve(str(tmp_path))
