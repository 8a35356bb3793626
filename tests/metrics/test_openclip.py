"""Judges by name: found in the hub cache, every weight loaded, and whatever is missing named with its fix."""

from __future__ import annotations

import dataclasses

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CheckpointError
from harness.metrics import openclip
from harness.metrics.judge import OpenClipJudge
from harness.models.checkpoints.resolve import BUNDLED, resolve

CPU = torch.device("cpu")
ARCHITECTURE, TAG, REPOSITORY = "MobileCLIP2-S0", "dfndr2b", "timm/MobileCLIP2-S0-OpenCLIP"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty hub cache; the function puts a file into it as a download would."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(repository, name, write):
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        snapshot = folder / "snapshots" / "0123abcd"
        for part in (folder / "refs", folder / "blobs", snapshot):
            part.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text("0123abcd")
        blob = folder / "blobs" / f"blob-of-{name}"
        write(blob)
        (snapshot / name).symlink_to(blob)
        return blob

    return put


@pytest.mark.slow
def test_a_judge_by_name_is_open_clips_own_bitwise(hub_cache, tmp_path, monkeypatch):
    torch.manual_seed(0)
    state = {k: v.contiguous() for k, v in open_clip.create_model(ARCHITECTURE).state_dict().items()}
    blob = hub_cache(REPOSITORY, "open_clip_model.safetensors", lambda path: save_file(state, path))
    source = openclip.find(f"{ARCHITECTURE}/{TAG}")
    judge = OpenClipJudge(source, CPU)
    assert judge.id == f"{ARCHITECTURE}/{TAG} {openclip.file_digest(blob)}"
    assert OpenClipJudge(f"{ARCHITECTURE}/{TAG.upper()}", CPU).id == judge.id

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = open_clip.create_model(ARCHITECTURE, pretrained=TAG, cache_dir=tmp_path / "hub").eval()
    large = np.random.default_rng(16).integers(0, 256, (3, 3, 256, 256), dtype=np.uint8)
    texts = ["a red cat", "two dogs on a sofa", "a very long road through the hills"]
    with torch.inference_mode():
        pixels = torch.from_numpy(large).float().div(255)  # this one's mean is 0 and its spread 1
        seen = model.encode_image(pixels, normalize=True)
        read = model.encode_text(open_clip.get_tokenizer(ARCHITECTURE)(texts), normalize=True)
    direct = 100.0 * (seen.numpy() * read.numpy()).sum(axis=1)
    assert np.array_equal(judge.score(judge.embed_images(large), texts), direct)

    state.popitem()  # one weight less, and open_clip would have to make one up
    save_file(state, blob)
    with pytest.raises(CheckpointError, match=f"judge {ARCHITECTURE}/{TAG} doesn't load: .*Missing key"):
        OpenClipJudge(source, CPU)
    blob.write_bytes(blob.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"open_clip_model.safetensors is damaged"):
        openclip.find(f"{ARCHITECTURE}/{TAG}")


@pytest.mark.slow
def test_openais_weights_run_with_the_activation_they_were_trained_with(hub_cache):
    state = {k: v.contiguous() for k, v in open_clip.create_model("RN50").state_dict().items()}
    hub_cache("timm/resnet50_clip.openai", "open_clip_model.safetensors", lambda path: save_file(state, path))
    judge = OpenClipJudge("RN50/openai", CPU)
    names = {type(module).__name__ for module in judge.model.modules()}
    assert "QuickGELU" in names
    assert "GELU" not in names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "ViT-L-14/openai",
            "judge 'ViT-L-14/openai' is not in the hub cache .*; run: hf download "
            "timm/vit_large_patch14_clip_224.openai open_clip_model.safetensors",
        ),
        ("ViT-L14/openai", "open_clip has no pretrained 'ViT-L14'; near it are ViT-L-14, "),
        ("ViT-L-14/opnai", "open_clip has no weights 'opnai' of ViT-L-14; near it are openai"),
        ("ViT-S-32/openai", "open_clip has no pretrained 'ViT-S-32'; near it are ViT-B-32"),
        ("RN101/x", "open_clip has no weights 'x' of RN101; there are openai, yfcc15m"),
        ("qqqq/q", "all are listed by: python -c "),
        ("ViT-L-14", "judge 'ViT-L-14' is neither a folder nor one of open_clip's names, which are ARCHITECTURE/TAG"),
        ("./nowhere/judge", "is neither a folder nor one of open_clip's names"),
        ("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", r"text tower from another repository \(xlm-roberta-base\)"),
        ("ViT-B-16-SigLIP/webli", "run: hf download timm/ViT-B-16-SigLIP open_clip_model.safetensors"),
    ],
)
def test_a_judge_that_is_not_there_is_named_with_its_mend(hub_cache, name, message):
    with pytest.raises(CheckpointError, match=message):
        openclip.find(name)


def test_a_judges_foreign_tokenizer_is_looked_for_too(hub_cache):
    hub_cache("timm/ViT-B-16-SigLIP", "open_clip_model.safetensors", write_empty)
    with pytest.raises(
        CheckpointError, match=r"its tokenizer timm/ViT-B-16-SigLIP is not in the hub cache .*; run: hf d"
    ):
        openclip.find("ViT-B-16-SigLIP/webli")
    blob = hub_cache("timm/ViT-B-16-SigLIP", "tokenizer.json", lambda path: path.write_text("{}"))
    found = openclip.find("ViT-B-16-SigLIP/webli")
    assert (found.tokenizer / "tokenizer.json").resolve() == blob
    with pytest.raises(CheckpointError, match="judge ViT-B-16-SigLIP/webli doesn't load"):
        OpenClipJudge(found, CPU)


def write_empty(path):
    save_file({"a": torch.zeros(1)}, path)


def test_a_half_finished_download_is_no_judge(hub_cache):
    blob = hub_cache("timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors", write_empty)
    blob.rename(blob.with_suffix(".incomplete"))
    with pytest.raises(CheckpointError, match="run: hf download"):
        openclip.find("ViT-L-14/openai")


def test_without_one_of_its_own_a_checkpoint_has_openais_largest_at_224_px():
    checkpoint = resolve("flux-tiny")
    asked = {
        "": "ViT-L-14/openai",
        "../judge": (BUNDLED / "judge").resolve(),
        "ViT-B-32/openai": "ViT-B-32/openai",
        "../nowhere": (BUNDLED / "nowhere").resolve(),
    }
    for given_, found in asked.items():
        settings_ = dataclasses.replace(checkpoint.settings, judge=given_)
        assert openclip.of_checkpoint(dataclasses.replace(checkpoint, settings=settings_)) == found
