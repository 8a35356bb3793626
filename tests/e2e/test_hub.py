"""A hub that answers on this machine: what a process that asks it says, and what its command downloads."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.resolve import BUNDLED, resolve
from tests.helpers import hubs


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


def test_a_pipeline_of_another_class_is_refused_before_its_download(online, tmp_path):
    models = {}
    for name, index in {
        "a/qwen": {"_class_name": "QwenImageEditPipeline", "transformer": ["diffusers", "QwenImageTransformer2DModel"]},
        "a/unet": {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"]},
        "a/odd": [],
    }.items():
        models[name] = tmp_path / name
        models[name].mkdir(parents=True)
        (models[name] / "model_index.json").write_text(json.dumps(index))
    with hubs.serve(models, {}) as url:
        said = asked(online(url), *models)
    assert said["a/qwen"] == (
        "CheckpointError: checkpoint 'a/qwen' (not downloaded yet) is a QwenImageEditPipeline with "
        "QwenImageTransformer2DModel: it makes images from images (image), and cases have prompts alone; "
        "ablate(pipeline, plan) works on it as it is (docs/library.md)"
    )
    assert "(not downloaded yet): model_index.json names no transformer (a StableDiffusionXLPipeline)" in said["a/unet"]
    assert "; download it: hf download a/odd" in said["a/odd"]  # what can't be read is checked once it is there
    assert not list((tmp_path / "hf").rglob("models--*"))


def test_a_modular_pipeline_is_refused_before_its_download(online, tmp_path):
    folder = tmp_path / "a" / "flux3"
    folder.mkdir(parents=True)
    (folder / "modular_model_index.json").write_text("{}")
    with hubs.serve({"a/flux3": folder}, {}) as url:
        said = asked(online(url), "a/flux3")["a/flux3"]
    assert said.startswith("CheckpointError: checkpoint 'a/flux3' is a modular pipeline, put together from steps with")
    assert said.endswith("use ablate(pipeline.transformer, plan)")


def test_a_hub_that_can_not_be_reached_is_said(online):
    with hubs.serve({}, {}) as url:
        pass
    said = asked(online(url), "a/flux")["a/flux"]
    assert "; download it: hf download a/flux" in said
    assert "(whether it is gated is not known: the hub can't be reached: " in said
    assert "HF_HUB_OFFLINE is set" in asked(online(url) | {"HF_HUB_OFFLINE": "1"}, "a/flux")["a/flux"]


@pytest.mark.skipif(not Path(sys.executable).with_name("hf").exists(), reason="needs the hf command")
def test_the_command_in_the_message_downloads_what_is_needed(online, tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    shutil.copytree(BUNDLED / "flux-tiny", theirs)
    (theirs / "flux1.safetensors").write_bytes(b"a copy in one file")
    (theirs / "vae" / "evil.py").write_text("raise SystemExit('code of a checkpoint ran')")
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
