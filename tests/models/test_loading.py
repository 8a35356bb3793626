"""Loading: from folders and from the hub's cache alike, in pieces, offloaded; and naming the file that is missing."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time

import pytest
import torch
from diffusers.hooks import apply_group_offloading
from safetensors.torch import load_file, save_file

from harness.ablation.plan import parse
from harness.errors import CheckpointError
from harness.models import loading
from harness.models.checkpoints import hub_cache, weight_files
from harness.models.checkpoints.pipeline_folder import AUTOENCODER_HOLDER
from harness.models.checkpoints.resolve import BUNDLED, bundled_names, resolve
from harness.models.sampler import Sampler
from harness.models.spec import FLUX
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import ablate
from tests.helpers import hubs, models

CPU = torch.device("cpu")
PROMPTS = (BUNDLED / "prompts.txt").read_text().splitlines()[:2]
PLAN = "double: 0 (1|2)x2 4"


@pytest.fixture
def mine(tmp_path):
    """A copy of flux-tiny in a folder of one's own."""
    return shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "mine")


def pictures(pipeline, settings, plan=PLAN):
    """Latents and images of an ablated model."""
    sampler = Sampler(pipeline, FLUX, settings, batch=2)
    with ablate(sampler.transformer, plan):
        return sampler.sample(PROMPTS, seed=0)


@pytest.fixture(scope="module")
def expected():
    checkpoint = resolve("flux-tiny")
    return pictures(loading.load(checkpoint, CPU), checkpoint.settings)


def same(one, other):
    return torch.equal(one.images, other.images) and torch.equal(one.latents, other.latents)


def message(checkpoint):
    with pytest.raises(CheckpointError) as caught:
        loading.load(checkpoint, CPU)
    return str(caught.value)


def test_from_the_hubs_cache_it_is_bitwise_the_same(cache, expected):
    hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    checkpoint = resolve("someone/flux-small")
    assert same(pictures(loading.load(checkpoint, CPU), checkpoint.settings), expected)
    # The digest is taken from the blobs' names there, and from the content here.
    assert weight_files.weights_digest(checkpoint.folder) == weight_files.weights_digest(BUNDLED / "flux-tiny")


@pytest.mark.parametrize("name", bundled_names())
def test_every_bundled_checkpoint_has_the_one_autoencoder(name, tmp_path):
    """Its loaded pipeline saves an ordinary folder of diffusers, which loads by itself."""
    checkpoint = resolve(name)
    pipeline = loading.load(checkpoint, CPU)
    stored = load_file(AUTOENCODER_HOLDER / "diffusion_pytorch_model.safetensors")
    loaded = pipeline.vae.state_dict()
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[key], value) for key, value in stored.items())
    pipeline.save_pretrained(tmp_path / "whole")
    again = type(pipeline).from_pretrained(tmp_path / "whole")
    assert torch.equal(again.vae.decoder.conv_in.weight, stored["decoder.conv_in.weight"])


def test_a_copy_of_a_bundled_folder_without_the_autoencoder_is_named(tmp_path):
    folder = shutil.copytree(BUNDLED / "sd3-tiny", tmp_path / "mine")
    assert f"checkpoint {folder} has no vae weights (vae/*.safetensors)" in message(resolve(str(folder)))


def split(folder):
    """Save the transformer in several files with an index, as large ones are."""
    from diffusers import FluxTransformer2DModel

    whole = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    whole.save_pretrained(folder / "transformer", max_shard_size="3MB")
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def test_weights_in_several_files_are_loaded_and_compared(mine, expected):
    shards = split(mine)
    assert len(shards) > 1
    checkpoint = resolve(str(mine))
    assert same(pictures(loading.load(checkpoint, CPU), checkpoint.settings), expected)
    (mine / "transformer" / shards[1]).unlink()
    assert message(checkpoint) == (
        f"checkpoint {mine} is incomplete: transformer/{shards[1]} is not there; save it again with save_pretrained"
    )


def test_copies_at_half_precision_do_not_count(mine, expected):
    """Many repositories hold ``*.fp16.safetensors`` beside what is loaded, whole or in pieces, whatever is in them."""
    before = weight_files.weights_digest(mine)
    for name in (
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ):
        (mine / name).write_bytes(b"not even a model")
    (mine / "text_encoder_2" / "model.fp16-00001-of-00002.safetensors").write_bytes(b"half of one")
    (mine / "text_encoder_2" / "model.safetensors.index.fp16.json").write_text("{}")
    (mine / "flux1.safetensors").write_bytes(b"all in one file")
    checkpoint = resolve(str(mine))
    assert same(pictures(loading.load(checkpoint, CPU), checkpoint.settings), expected)
    assert weight_files.weights_digest(mine) == before


@pytest.mark.parametrize(
    "left_out",
    [
        "scheduler/scheduler_config.json",
        "tokenizer_2/tokenizer_config.json",
        "text_encoder/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder_2/model.safetensors",
    ],
)
def test_the_first_missing_file_is_named(cache, left_out):
    hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny", leave_out=(left_out,))
    shown = left_out if left_out.endswith(".json") else f"{left_out.split('/')[0]}/*.safetensors"
    assert message(resolve("someone/flux-small")) == (
        f"someone/flux-small is half-downloaded: {shown} is not there; "
        f"finish it: {hub_cache.download('someone/flux-small')}"
    )


@pytest.mark.parametrize("name", ["transformer/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"])
def test_a_link_to_nothing_is_a_missing_file(cache, name):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    (snapshot / name).resolve().unlink()
    assert f"someone/flux-small is half-downloaded: {name} is not there; finish it: " in message(
        resolve("someone/flux-small")
    )


def test_pieces_without_their_index_are_half_a_download(cache, mine):
    split(mine)
    name = "transformer/diffusion_pytorch_model.safetensors.index.json"
    hubs.put(cache, "someone/flux-small", mine, leave_out=(name,))
    assert f"half-downloaded: {name} is not there" in message(resolve("someone/flux-small"))


@pytest.mark.parametrize("text", ["{", "{}", '{"weight_map": {}}', '{"weight_map": {"a": "../b.safetensors"}}', "[1]"])
def test_an_index_that_leads_nowhere_is_named(mine, text):
    path = mine / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text(text)
    assert message(resolve(str(mine))).startswith(f"{path} names ")


def test_pickled_weights_are_not_read(mine, cache):
    weights = mine / "text_encoder" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    assert message(resolve(str(mine))) == (
        f"checkpoint {mine} has no text_encoder weights (text_encoder/*.safetensors); "
        "save it with safe_serialization=True: other formats are not read"
    )
    hubs.put(cache, "someone/flux-small", mine)
    assert message(resolve("someone/flux-small")) == (
        "checkpoint someone/flux-small has no text_encoder weights (text_encoder/*.safetensors); "
        "name another: other formats are not read"
    )


def test_a_damaged_file_is_named(mine):
    path = mine / "vae" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    checkpoint = resolve(str(mine))
    path.write_bytes(whole[:-10])
    assert message(checkpoint) == (
        f"{path} is damaged ({len(whole) - 10} of {len(whole)} bytes); fetch or save it again"
    )
    for damaged in (b"", b"short", b"\xff" * 100, whole[:2000]):
        path.write_bytes(damaged)
        assert message(checkpoint).startswith(f"{path} is damaged (")


def test_weights_that_no_file_holds_are_named(mine):
    """diffusers only warns, and goes on with random ones."""
    path = mine / "transformer" / "config.json"
    path.write_text(path.read_text().replace('"num_layers": 5', '"num_layers": 6'))
    assert message(resolve(str(mine))) == (
        f"checkpoint {mine}: no file holds the weight 'transformer_blocks.5.norm1.linear.weight' that "
        "transformer/config.json asks for, so it would be random; save or download transformer again, weights and "
        "config together"
    )


def test_weights_that_the_model_has_no_place_for_are_named(mine):
    path = mine / "transformer" / "config.json"
    path.write_text(path.read_text().replace('"num_layers": 5', '"num_layers": 4'))
    assert "transformer does not hold the stored weight 'transformer_blocks.4." in message(resolve(str(mine)))


def test_a_config_of_another_width_ends_with_the_way_to_get_the_files_again(cache, mine):
    path = mine / "transformer" / "config.json"
    path.write_text(path.read_text().replace('"attention_head_dim": 32', '"attention_head_dim": 16'))
    assert '"attention_head_dim": 16' in path.read_text()
    assert message(resolve(str(mine))).endswith("; save it again with save_pretrained")
    hubs.put(cache, "someone/flux-small", mine)
    assert message(resolve("someone/flux-small")).endswith(
        f"; download it again: {hub_cache.download('someone/flux-small')}"
    )


def test_a_dtype_is_that_of_every_model():
    pipeline = loading.load(resolve("flux-tiny", dtype="bfloat16"), CPU)
    kinds = {p.dtype for part in pipeline.components.values() if hasattr(part, "parameters") for p in part.parameters()}
    assert kinds == {torch.bfloat16}


def test_offload_is_refused_where_it_means_nothing():
    checkpoint = resolve("flux-tiny")
    for offload in ("model", "group"):
        with pytest.raises(
            CheckpointError, match=f"--dit-offload={offload} keeps weights in main memory until the GPU"
        ):
            loading.load(checkpoint, CPU, offload=offload)
    with pytest.raises(CheckpointError, match="unknown offload 'disk'; there are none, model, group"):
        loading.load(checkpoint, CPU, offload="disk")


@pytest.mark.parametrize(("offload", "hook", "least"), [("model", "_hf_hook", 1), ("group", "_diffusers_hook", 100)])
def test_an_offloaded_pipeline_samples_bitwise_the_same(expected, offload, hook, least):
    """From the CPU to the CPU: the hooks run as they do for a GPU, and the device they lead to is found."""
    checkpoint = resolve("flux-tiny")
    pipeline = loading.place(loading.load(checkpoint, CPU), CPU, offload)
    assert sum(hasattr(module, hook) for module in pipeline.transformer.modules()) >= least
    assert same(pictures(pipeline, checkpoint.settings), expected)
    # A second time, after the pipeline has taken its hooks off and put them on again.
    assert same(pictures(pipeline, checkpoint.settings), expected)
    assert sum(hasattr(module, hook) for module in pipeline.transformer.modules()) >= least


@pytest.mark.parametrize("kind", ["leaf_level", "block_level"])
@pytest.mark.parametrize(("family", "stack"), models.STACKS)
def test_an_ablation_under_group_offload_is_bitwise_the_same(family, stack, kind):
    plain, arguments = models.FAMILIES[family]()
    offloaded, _ = models.FAMILIES[family]()
    offloaded.load_state_dict(plain.state_dict())
    length = len(getattr(plain, "single_transformer_blocks" if stack == "single" else _first(family)))
    per_group = {"num_blocks_per_group": 1} if kind == "block_level" else {}
    apply_group_offloading(offloaded, onload_device=CPU, offload_device=CPU, offload_type=kind, **per_group)
    for text in (f"0 2-{length - 1}", f"0 2 1 3-{length - 1}", f"0 (1|2)x2 3-{length - 1}", f"0 1 1 1-{length - 1}"):
        plan = parse(text)
        outputs = []
        for model in (plain, offloaded):
            with torch.inference_mode(), ablate(model, plan, stack), traced(model, stack) as ran:
                outputs.append(model(**arguments)[0])
            assert check_trace(ran, plan, stack) == 1
        assert torch.equal(*outputs)


def _first(family):
    return "joint_transformer_blocks" if family == "auraflow" else "transformer_blocks"


def test_settings_that_name_no_dtype_are_refused():
    checkpoint = resolve("flux-tiny")
    wrong = dataclasses.replace(checkpoint, settings=dataclasses.replace(checkpoint.settings, dtype="int8"))
    assert message(wrong) == "unknown dtype 'int8'; there are float32, bfloat16, float16"


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_a_class_of_tomorrow_is_one_line(mine, library):
    path = mine / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scheduler": [library, "SchedulerOfTomorrowScheduler"]}))
    said = message(resolve(str(mine)))
    assert f"{library} " in said
    assert "has no SchedulerOfTomorrowScheduler, which its scheduler is; install another" in said


def test_a_config_that_divides_by_nothing_is_one_line(mine):
    path = mine / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention_head_dim": 0}))
    assert "doesn't load: " in message(resolve(str(mine)))


def test_weights_that_are_no_numbers_are_named_for_what_they_are(mine):
    path = mine / "transformer" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["context_embedder.bias"][:] = float("nan")
    save_file(weights, path)
    assert "the weight 'context_embedder.bias' of transformer is not a number" in message(resolve(str(mine)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_layers": 9999}, "has num_layers 9999, and its files hold 5 blocks; save it again"),
        ({"num_single_layers": 9999}, "has num_single_layers 9999, and its files hold 10 blocks; save it again"),
        (
            {"attention_head_dim": 10**9},
            "describes layers of width 3000000000 (num_attention_heads 3, ",
        ),
        ({"num_attention_heads": 10**6}, "and none of its weights is larger than"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_config_of_a_giant_is_refused_before_the_giant_is_built(mine, change, said):
    path = mine / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    started = time.monotonic()
    assert said in message(resolve(str(mine)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "harness.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
    ],
)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(mine, file):
    (mine / file).unlink(missing_ok=True)
    os.mkfifo(mine / file)
    with pytest.raises(CheckpointError, match=f"{file}.* is no file"):
        loading.load(resolve(str(mine)), torch.device("cpu"))
