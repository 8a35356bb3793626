"""Checkpoints by name, folder and hub id: what they resolve to, and what each failure says."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
import torch

from harness.ablation.case import slug
from harness.errors import CheckpointError
from harness.models.checkpoints import hub_cache, published
from harness.models.checkpoints.published import PUBLISHED
from harness.models.checkpoints.resolve import BUNDLED, blueprint, resolve
from harness.models.spec import DTYPES, FAMILIES
from tests.helpers import hubs

PARAMETERS = {
    "flux.1-schnell": 11_891_178_560,
    "flux.1-dev": 11_901_408_320,
    "sd3-medium": 2_028_328_000,
    "sd3.5-medium": 2_243_171_520,
    "sd3.5-large": 8_056_627_520,
    "auraflow-v0.2": 6_842_876_928,
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache, offline."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hf" / "hub"


def message(name, **options):
    with pytest.raises(CheckpointError) as caught:
        resolve(name, **options)
    return str(caught.value)


@pytest.mark.parametrize("real", PUBLISHED.values(), ids=PUBLISHED)
def test_a_known_config_builds_the_real_architecture(real):
    with torch.device("meta"):
        model = getattr(diffusers, real.family.transformer)(**real.config)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[real.name]
    for stack in real.family.stacks:
        assert len(getattr(model, stack.attribute)) == real.stacks[stack.name]
    dual = [i for i, block in enumerate(getattr(model, "transformer_blocks", [])) if getattr(block, "attn2", None)]
    assert dual == (list(range(13)) if real.name == "sd3.5-medium" else [])
    side = real.settings.height // 16
    assert model.config.get("pos_embed_max_size", side**2) >= (side if real.family.name == "sd3" else side**2)


@pytest.mark.parametrize("real", PUBLISHED.values(), ids=PUBLISHED)
def test_known_names_fit_ids_and_are_found_whatever_their_case(real):
    assert slug(real.name) == real.name
    for text in (real.name.upper(), real.hub_id, real.hub_id.lower()):
        assert published.find(text) is real
    assert real.settings.dtype in DTYPES
    if real.gigabytes is not None:
        assert real.gigabytes * 1e9 > 2 * PARAMETERS[real.name]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_familys_settings_are_its_pipelines_own_defaults(family):
    call = inspect.signature(getattr(diffusers, family.pipeline).__call__).parameters
    settings = family.settings
    names = ("num_inference_steps", "guidance_scale", "max_sequence_length")
    assert (settings.steps, settings.guidance, settings.max_sequence_length) == tuple(call[n].default for n in names)


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


def test_a_folder_goes_before_a_hub_id(cache, tmp_path, monkeypatch):
    hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "someone", "flux-small")
    assert resolve("someone/flux-small").stacks == {"double": 19, "single": 38}


def test_a_blueprint_needs_no_download(cache):
    found, config = blueprint("SD3.5-medium", dtype="float32")
    assert found.name == "sd3.5-medium"
    assert found.settings.dtype == "float32"
    assert config["dual_attention_layers"] == tuple(range(13))
    assert not cache.exists()
    found, config = blueprint("flux-tiny")
    assert found.stacks["double"] == config["num_layers"] == 5


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HF_HOME": "~/hf"},
        {"HF_HOME": "$HOME/hf"},
        {"XDG_CACHE_HOME": "/xdg"},
        {"HF_HUB_CACHE": "~/c", "HF_HOME": "/elsewhere"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/elsewhere"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"},
    ],
    ids=lambda variables: "+".join(f"{k}={v}" for k, v in variables.items()) or "default",
)
def test_the_cache_is_where_huggingface_hub_has_it(variables):
    code = (
        "import sys; from harness.models.checkpoints import hub_cache\n"
        "assert 'huggingface_hub' not in sys.modules; here = hub_cache.cache()\n"
        "from huggingface_hub.constants import HF_HUB_CACHE; print(str(here) == HF_HUB_CACHE, here, HF_HUB_CACHE)"
    )
    names = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = run_python(code, clean | variables)
    assert done.startswith("True "), done


def run_python(code, environment):
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_missing_checkpoint_names_the_command_that_downloads_it(cache):
    assert message("FLUX.1-dev") == (
        f"checkpoint 'FLUX.1-dev' (black-forest-labs/FLUX.1-dev) is no folder here and not in the hub cache {cache}; "
        f"download it (34 GB): {hub_cache.download('black-forest-labs/FLUX.1-dev')} "
        "(whether it is gated is not known: HF_HUB_OFFLINE is set)"
    )
    assert message("someone/flux-small").startswith(
        f"checkpoint 'someone/flux-small' is no folder here and not in the hub cache {cache}; "
        "download it: hf download someone/flux-small "
    )


def test_what_is_nothing_at_all_names_what_there_is(cache, tmp_path):
    said = message("flux-tinny")
    assert said.startswith("checkpoint 'flux-tinny' is neither a bundled checkpoint nor a folder, ")
    assert "flux-tiny" in said
    assert all(name in said for name in PUBLISHED)
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in message(str(tmp_path / "file"))
    assert "neither a bundled checkpoint" in message("../mine")
    assert "neither a bundled checkpoint" in message("one/two/three")


@pytest.mark.parametrize("left_out", ["model_index.json", "transformer/config.json"])
def test_a_download_that_has_only_begun_is_half_a_download(cache, left_out):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny", leave_out=(left_out,))
    command = hub_cache.download("someone/flux-small")
    assert message("someone/flux-small") == (
        f"someone/flux-small is half-downloaded: {left_out} is not there; finish it: {command}"
    )
    with (snapshot.parent.parent / "blobs" / "0a1b.incomplete").open("wb") as stream:
        stream.truncate(300_000_000)
    assert f"{left_out} is not there, 0.3 GB of a file are; finish it: {command}" in message("someone/flux-small")
    shutil.rmtree(snapshot)
    assert "half-downloaded: model_index.json is not there" in message("someone/flux-small")
    shutil.rmtree(snapshot.parent.parent)
    assert "no folder here and not in the hub cache" in message("someone/flux-small")


@pytest.mark.parametrize("commit", ["../../elsewhere", "", "not hex"])
def test_a_ref_leads_to_a_snapshot_or_nowhere(cache, commit):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    (snapshot.parent.parent / "refs" / "main").write_text(commit)
    assert "half-downloaded" in message("someone/flux-small")


def test_a_hub_id_at_collection_loads_no_hub_library(cache):
    hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    code = (
        "import sys; from harness.models.checkpoints.resolve import resolve; resolve('someone/flux-small')\n"
        "print(sorted({'huggingface_hub', 'torch', 'diffusers', 'numpy'} & set(sys.modules)))"
    )
    assert run_python(code, dict(os.environ)) == "[]"


REFUSED = {
    "a/gated": (401, "GatedRepo"),
    "a/waiting": (403, "GatedRepo"),
    "a/forbidden": (403, ""),
    "a/private": (401, "RepoNotFound"),
    "a/broken": (400, ""),
}
ASK = """
import sys
from harness.models.checkpoints.resolve import resolve
for name in sys.argv[1:]:
    try:
        resolve(name)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


def asked(environment, *names):
    done = subprocess.run(
        [sys.executable, "-c", ASK, *names], env=environment, capture_output=True, text=True, check=True
    )
    return dict(zip(names, done.stdout.splitlines(), strict=True))


@pytest.fixture
def online(tmp_path):
    """An environment whose hub is the address given."""
    dropped = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    clean = {name: value for name, value in os.environ.items() if name not in dropped}
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    return lambda url: clean | quiet | {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": url, "NO_PROXY": "127.0.0.1"}


def test_the_hub_tells_missing_gated_and_absent_apart(online, tmp_path):
    (tmp_path / "bare").mkdir()
    models = {"a/flux": BUNDLED / "flux-tiny", "a/words": tmp_path / "bare"}
    with hubs.serve(models, REFUSED) as url:
        said = asked(online(url), "a/flux", "a/words", "a/nothing", *REFUSED)
    assert {line.split(":")[0] for line in said.values()} == {"CheckpointError"}
    command = hub_cache.download("a/flux")
    assert said["a/flux"].endswith(
        f"is no folder here and not in the hub cache {tmp_path}/hf/hub; download it: {command}"
    )
    assert said["a/gated"] == (
        f"CheckpointError: checkpoint 'a/gated' is gated: accept its licence on {url}/a/gated, then: hf auth login, "
        f"and {hub_cache.download('a/gated')}"
    )
    for name in ("a/waiting", "a/forbidden"):
        assert f"is gated: accept its licence on {url}/{name}" in said[name]
    for name in ("a/nothing", "a/private"):
        assert f"the hub has no such repository: check the spelling of {name!r}; if it is private: " in said[name]
    assert "on the hub it is no diffusers pipeline: it has no model_index.json" in said["a/words"]
    assert "(whether it is gated is not known: the hub answers 400)" in said["a/broken"]
    # Asking leaves nothing behind that would look like the beginning of a download.
    assert not list((tmp_path / "hf").rglob("models--*"))


def test_a_hub_that_can_not_be_reached_is_said(online):
    with hubs.serve({}, {}) as url:
        pass
    said = asked(online(url), "a/flux")["a/flux"]
    assert "; download it: hf download a/flux" in said
    assert "(whether it is gated is not known: the hub can't be reached: " in said
    assert "HF_HUB_OFFLINE is set" in asked(online(url) | {"HF_HUB_OFFLINE": "1"}, "a/flux")["a/flux"]


def test_the_command_is_that_of_the_hub_library_that_is_installed():
    assert hub_cache.download("a/b", version="2.4.0") == (
        'hf download a/b --include "*.json" --include "*/*" --exclude "*fp16*"'
    )
    assert hub_cache.download("a/b", version="0.36.0") == 'hf download a/b --include "*.json" "*/*" --exclude "*fp16*"'
    assert (
        hub_cache.download("a/b", hub_cache.LORA_FILES, "0.30.2")
        == 'huggingface-cli download a/b --include "*.safetensors"'
    )


@pytest.mark.skipif(not Path(sys.executable).with_name("hf").exists(), reason="needs the hf command")
def test_the_command_in_the_message_downloads_what_is_needed(online, tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    shutil.copytree(BUNDLED / "flux-tiny", theirs)
    (theirs / "flux1.safetensors").write_bytes(b"a copy in one file")
    (theirs / "transformer" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a copy at half precision")
    with hubs.serve({"a/flux": theirs}, {}) as url:
        environment = online(url)
        command = asked(environment, "a/flux")["a/flux"].split("download it: ")[1]
        program, *arguments = shlex.split(command)
        subprocess.run(
            [Path(sys.executable).with_name(program), *arguments], env=environment, capture_output=True, check=True
        )
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    found = resolve("a/flux")
    names = {p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*") if p.is_file()}
    ours = {p.relative_to(BUNDLED / "flux-tiny").as_posix() for p in (BUNDLED / "flux-tiny").rglob("*") if p.is_file()}
    assert names == ours - {"README.md"}
