"""Checkpoints by name, folder and hub id: what they resolve to, and what each failure says."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from harness.ablation.case import slug
from harness.errors import CheckpointError
from harness.models.checkpoints.published import PUBLISHED
from harness.models.checkpoints.resolve import BUNDLED, blueprint, resolve
from harness.models.spec import FAMILIES
from tests.helpers import hubs


def message(name, **options):
    with pytest.raises(CheckpointError) as caught:
        resolve(name, **options)
    return str(caught.value)


def folder(tmp_path, name="mine", settings=None, **index):
    """The files that resolving reads, of a FLUX pipeline."""
    made = tmp_path / name
    (made / "transformer").mkdir(parents=True)
    table = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"], **index}
    (made / "model_index.json").write_text(json.dumps(table))
    (made / "transformer" / "config.json").write_text(json.dumps({"num_layers": 19, "num_single_layers": 38}))
    if settings is not None:
        (made / "harness.json").write_text(json.dumps(settings))
    return made


def test_settings_are_the_familys_then_the_known_ones_then_the_folders(tmp_path):
    schnell, flux = PUBLISHED["flux.1-schnell"].settings, FAMILIES["FluxTransformer2DModel"].settings
    assert resolve(str(folder(tmp_path))).settings == flux
    assert resolve(str(folder(tmp_path, "FLUX.1-schnell"))).settings == schnell
    saved = folder(tmp_path, "saved", _name_or_path="black-forest-labs/FLUX.1-schnell")
    assert resolve(str(saved)).settings == schnell
    assert resolve(str(folder(tmp_path, "own", {"steps": 3}))).settings == dataclasses.replace(flux, steps=3)
    # A folder that is only called like a checkpoint of another family is none.
    assert resolve(str(folder(tmp_path, "sd3.5-large"))).settings == flux


def test_a_dtype_replaces_the_settings(tmp_path):
    path = str(folder(tmp_path))
    assert resolve(path, dtype="float16").settings.dtype == "float16"
    assert message(path, dtype="half") == "unknown dtype 'half'; there are float32, bfloat16, float16"


def test_a_hub_id_is_found_in_the_cache(cache):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    found = resolve("someone/flux-small")
    assert found.folder == snapshot
    assert found.stacks == {"double": 5, "single": 10}
    assert found.settings == resolve("flux-tiny").settings
    assert found.name == slug("someone/flux-small")
    assert found.name.startswith("someone-flux-small-")
    assert found.name != resolve_name_of(cache, "someone-flux/small")


def resolve_name_of(cache, hub_id):
    hubs.put(cache, hub_id, BUNDLED / "flux-tiny")
    return resolve(hub_id).name


def test_a_known_name_is_found_under_its_hub_id(cache):
    hubs.put(cache, "black-forest-labs/FLUX.1-schnell", BUNDLED / "flux-tiny", leave_out=("harness.json",))
    for text in ("FLUX.1-Schnell", "black-forest-labs/flux.1-schnell"):
        found = resolve(text)
        assert (found.name, found.hub_id) == ("flux.1-schnell", "black-forest-labs/FLUX.1-schnell")
        assert found.settings == PUBLISHED["flux.1-schnell"].settings


def test_a_blueprint_needs_no_download(cache):
    found, config = blueprint("SD3.5-medium", dtype="float32")
    assert found.name == "sd3.5-medium"
    assert found.settings.dtype == "float32"
    assert config["dual_attention_layers"] == tuple(range(13))
    assert not cache.exists()
    found, config = blueprint("flux-tiny")
    assert found.stacks["double"] == config["num_layers"] == 5


@pytest.mark.parametrize(("short", "dtype"), [("bf16", "bfloat16"), ("fp16", "float16"), ("fp32", "float32")])
def test_dtypes_have_short_names(short, dtype):
    assert resolve("flux-tiny", dtype=short).settings.dtype == dtype
    assert blueprint("flux.1-dev", dtype=short).checkpoint.settings.dtype == dtype
    assert "unknown dtype 'f16' (did you mean 'float16'?); there are float32, bfloat16, float16" in message(
        "flux-tiny", dtype="f16"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"steps": -1},
        {"steps": 10**9},
        {"height": 0},
        {"height": -8},
        {"width": 1},
        {"batch": 0},
        {"batch": -1},
        {"seeds": 0},
        {"seeds": 1},
        {"seeds": True},
        {"max_sequence_length": 10**9},
        {"guidance": 1e300},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_one_line(tmp_path, settings):
    (name,) = settings
    assert f"harness.json: {name} is " in message(str(folder(tmp_path, settings=settings)))


@pytest.mark.parametrize(
    "text", ['{"guidance": NaN}', '{"guidance": Infinity}', "[" * 50_000, '{"steps": 1' + "0" * 5000 + "}"]
)
def test_settings_that_are_no_numbers_are_one_line(tmp_path, text):
    mine = folder(tmp_path)
    (mine / "harness.json").write_text(text)
    assert "harness.json" in message(str(mine))


@pytest.mark.parametrize("length", [0, -1, True, 10**9, 10**400, "19", None])
def test_a_number_of_blocks_that_is_none_is_one_line(tmp_path, length):
    mine = folder(tmp_path)
    (mine / "transformer" / "config.json").write_text(json.dumps({"num_layers": length, "num_single_layers": 38}))
    assert "which is no number of blocks" in message(str(mine))
    (mine / "transformer" / "config.json").write_text('{"a":' * 50_000)
    assert "is not valid JSON" in message(str(mine))


@pytest.mark.parametrize("name", ["judge", "prompts"])
@pytest.mark.parametrize(
    "value", ["a\0b", "x" * 5000, "x/" * 5000, "\ud800", "a\nb"], ids=["nul", "name", "path", "half", "lines"]
)
def test_a_path_that_no_file_can_have_is_one_line(tmp_path, name, value):
    mine = shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "mine")
    (mine / "harness.json").write_text(json.dumps({name: value}))
    with pytest.raises(CheckpointError, match=rf"harness\.json: {name} is .*, not a name or a path; fix it there"):
        resolve(str(mine))
