"""Where metrics find their weights: in the caches and folders of their libraries, or a clear line that fixes it."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import MetricError
from harness.metrics import dinov2, inception, lpips, pickscore, registry
from harness.metrics.registry import Asked

CPU = torch.device("cpu")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A machine on which nothing was ever downloaded."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def in_cache(root, repository, folder):
    """A folder as a model in the hub cache."""
    target = root / "hub" / f"models--{repository.replace('/', '--')}"
    (target / "refs").mkdir(parents=True)
    (target / "refs" / "main").write_text("0123abcd")
    shutil.copytree(folder, target / "snapshots" / "0123abcd")
    return target / "snapshots" / "0123abcd"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "inception",
            r"no weights: weights-inc\S*.safetensors is not there; fetch https\S*.pth and run: python -m harness conv",
        ),
        (
            "lpips",
            r"no weights: alexnet\S*.safetensors is not there; fetch \S*.pth and run: python -m harness convert alex",
        ),
        ("dinov2", "no weights: facebook/dinov2-base is not in the hub cache; run: hf download facebook/dinov2-base "),
        ("pickscore", "no weights: yuvalkirstain/PickScore_v1 is not in the hub cache; run: hf download yuval"),
    ],
)
def test_what_was_never_downloaded_is_named_with_its_mend(elsewhere, name, message):
    with pytest.raises(MetricError, match=f"metric '{name}': {message}"):
        registry.make(Asked(name), CPU)
    with pytest.raises(MetricError, match=f"metric '{name}': "):
        registry.make(Asked(name, str(elsewhere / "nowhere")), CPU)


def test_what_is_only_tried_is_left_out_by_name(elsewhere, places):
    opened = registry.open_all([f"dinov2={places / 'dinov2'}"], CPU, trying=True)
    assert [metric.name for metric in opened.metrics] == ["dinov2"]
    assert dict(opened.left_out) == {
        "inception": f"no weights: {inception.FILE} is not there",
        "lpips": f"no weights: {lpips.BACKBONE} is not there",
        "pickscore": "no weights: yuvalkirstain/PickScore_v1 is not in the hub cache",
    }
    assert registry.open_all([], CPU, trying=False) == registry.open_all(["none"], CPU, trying=True)
    with pytest.raises(MetricError, match="metric 'lpips': no weights"):
        registry.open_all(["lpips"], CPU, trying=True)


def test_weights_lie_where_libraries_put_them(elsewhere, places, metrics):
    checkpoints = elsewhere / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name in (lpips.BACKBONE, lpips.HEADS):
        shutil.copy(places / "lpips" / name, checkpoints)
    shutil.copy(places / "inception" / inception.FILE, checkpoints)
    in_cache(elsewhere, dinov2.REPOSITORY, places / "dinov2")
    in_cache(elsewhere, "somebody/other", places / "pickscore")
    opened = registry.open_all(["pickscore=somebody/other"], CPU, trying=True)
    assert not opened.left_out
    assert {m.name: m.weights for m in opened.metrics} == {name: m.weights for name, m in metrics.items()}
    assert [m.id for m in opened.metrics][2:] == ["facebook/dinov2-base", "somebody/other"]


@pytest.mark.parametrize(
    ("name", "file", "damage", "message"),
    [
        ("dinov2", "model.safetensors", "delete", r"no model.safetensors in .*; run: hf download facebook/dinov2-base"),
        ("dinov2", "preprocessor_config.json", "delete", r"no preprocessor_config.json in .*; run: hf download"),
        ("dinov2", "model.safetensors", "cut", r"model.safetensors is damaged; fetch or convert it again"),
        ("dinov2", "config.json", "cut", r"0123abcd doesn't load: .*; fetch or save it again"),
        ("pickscore", "tokenizer_config.json", "delete", r"no tokenizer_config.json in .*; run: hf download yuval"),
    ],
)
def test_half_a_download_is_named(elsewhere, places, name, file, damage, message):
    module = {"dinov2": dinov2, "pickscore": pickscore}[name]
    path = in_cache(elsewhere, module.REPOSITORY, places / name) / file
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:50])
    else:
        path.unlink()
    with pytest.raises(MetricError, match=message):
        registry.make(Asked(name), CPU)


def test_a_missing_shard_is_named(elsewhere, places):
    folder = in_cache(elsewhere, dinov2.REPOSITORY, places / "dinov2")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    )
    with pytest.raises(MetricError, match=r"no model-00002-of-00002\.safetensors in"):
        registry.make(Asked("dinov2"), CPU)


def test_another_model_is_not_taken_for_it(places, tmp_path):
    """Its libraries would make up the weights that are not there."""
    with pytest.raises(MetricError, match=r"don't hold the weight '.*' of a Dinov2Model; name the folder of such"):
        registry.make(Asked("dinov2", str(places / "pickscore")), CPU)
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(MetricError, match=r"a.safetensors doesn't load: Error.* Missing key"):
        registry.make(Asked("inception", str(tmp_path / "a.safetensors")), CPU)
    with pytest.raises(MetricError, match=r"a.safetensors hold no LPIPS: Error.* Missing key"):
        registry.make(Asked("lpips", str(tmp_path / "a.safetensors")), CPU)


def test_pickles_are_not_read(places, tmp_path):
    shutil.copy(places / "inception" / "original.pth", tmp_path / "x.pth")
    for name in ("inception", "lpips"):
        with pytest.raises(
            MetricError, match=r"x.pth is no safetensors file; convert it: python -m harness convert \S*x.pth "
        ):
            registry.make(Asked(name, str(tmp_path / "x.pth")), CPU)


def test_a_place_that_is_nothing_is_named():
    with pytest.raises(MetricError, match="'no place' is neither a folder nor a hub id"):
        registry.make(Asked("dinov2", "no place"), CPU)
