"""Extra metrics on random weights: equal images are equal, damage is seen, values are their own libraries'."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as torchmetrics_lpips
import torchvision
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torchmetrics.image.fid import NoTrainInceptionV3
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel

from harness.errors import MetricError, PromptError
from harness.metrics import lpips, registry
from harness.metrics.pairs import cosine_distance
from harness.metrics.registry import Asked
from harness.tiny import render, world
from tests.helpers.extractors import CLIP_TOKENIZER, write_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("metrics")
    write_weights(root)
    return root


@pytest.fixture(scope="module")
def metrics(places):
    return {name: registry.make(Asked(name, str(places / name)), CPU) for name in registry.BUILT_IN}


@pytest.fixture(scope="module")
def images():
    return render.render(world.sample_split(4, np.random.default_rng(20), unseen=True))


@pytest.fixture(scope="module")
def texts():
    return world.captions(world.sample_split(4, np.random.default_rng(20), unseen=True))


def distance(metric, a, b):
    """(N,), also of metrics that give vectors."""
    return metric(a, b) if metric.name == "lpips" else cosine_distance(metric(a), metric(b))


DISTANCES = ("inception", "lpips", "dinov2")


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_images_have_no_distance_and_others_do(metrics, images, name):
    assert (distance(metrics[name], images, images.copy()) == 0).all()
    assert (distance(metrics[name], images, images[::-1].copy()) > 1e-6).all()


@pytest.mark.parametrize("name", DISTANCES)
def test_a_brightness_shift_moves_it(metrics, images, name):
    """In the wrong range, or clipped, it would not."""
    for shift in (30, -30):
        moved = np.clip(images.astype(int) + shift, 0, 255).astype(np.uint8)
        assert (distance(metrics[name], images, moved) > 1e-8).all()


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("corruption", ["noise", "blur"])
def test_distance_grows_down_a_ladder(metrics, images, name, corruption):
    rungs = []
    noise = np.random.default_rng(21).normal(0, 255, images.shape)
    for size in (0.1, 0.3, 0.9):
        if corruption == "noise":
            rungs.append(np.clip(images + 0.5 * size * noise, 0, 255).astype(np.uint8))
        else:
            rungs.append(ndimage.gaussian_filter(images.astype(float), (0, 0, 3 * size, 3 * size)).astype(np.uint8))
    means = [distance(metrics[name], images, rung).mean() for rung in rungs]
    assert all(a < b for a, b in pairwise([0.0, *means])), means


def test_networks_are_in_eval_mode_and_need_no_gradients(metrics):
    for metric in metrics.values():
        network = next(v for v in vars(metric).values() if isinstance(v, torch.nn.Module))
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_a_value_is_its_images_alone(metrics, images, texts, name):
    """Not of what else is in the batch, nor of the order."""
    metric = metrics[name]
    if name == "lpips":
        whole, parts = (
            metric(images, images[::-1].copy()),
            [metric(images[i : i + 1], images[3 - i : 4 - i]) for i in range(4)],
        )
    elif name == "pickscore":
        whole, parts = metric(images, texts), [metric(images[i : i + 1], texts[i : i + 1]) for i in range(4)]
    else:
        whole, parts = metric(images), [metric(images[i : i + 1]) for i in range(4)]
    assert np.allclose(whole, np.concatenate(parts), rtol=1e-4, atol=1e-5 * np.abs(whole).max())


def test_names_ids_and_weights(metrics, places):
    assert [metrics[name].name for name in registry.BUILT_IN] == list(registry.BUILT_IN)
    assert all(metric.id for metric in metrics.values())
    digests = {metric.weights for metric in metrics.values()}
    assert len(digests) == 4
    assert all(len(digest) == 12 and int(digest, 16) >= 0 for digest in digests)


def test_inception_is_torchmetrics_own(metrics, places, images):
    direct = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(places / "inception" / "original.pth"))
    assert np.array_equal(metrics["inception"](images), direct(torch.from_numpy(images)).numpy())


def test_lpips_is_torchmetrics_own(metrics, places, images, monkeypatch):
    """With its own reading of its own pickled heads; only AlexNet's weights, which it would download, are handed in."""
    backbone = torchvision.models.alexnet(weights=None)
    backbone.load_state_dict(load_file(places / "lpips" / lpips.BACKBONE))
    monkeypatch.setattr(torchmetrics_lpips, "_get_tv_model_features", lambda *_: backbone.features)
    a, b = (torch.from_numpy(x.copy()).float().div(255) for x in (images, images[::-1]))
    direct = torchmetrics_lpips.learned_perceptual_image_patch_similarity(a, b, "alex", "none", normalize=True)
    assert np.array_equal(metrics["lpips"](images, images[::-1].copy()), direct.double().numpy())


def test_lpips_in_one_file_is_the_same(metrics, places, images, tmp_path):
    """As the LPIPS package saves its whole module."""
    whole = {
        f"net.slice9.{k[9:]}" if k.startswith("features.") else k: v
        for k, v in load_file(places / "lpips" / lpips.BACKBONE).items()
    }
    heads = load_file(places / "lpips" / lpips.HEADS)
    save_file(whole | {k.replace("lin", "lins.", 1): v for k, v in heads.items()}, tmp_path / "all.safetensors")
    one = lpips.make(str(tmp_path / "all.safetensors"), CPU)
    assert np.array_equal(one(images, images[::-1].copy()), metrics["lpips"](images, images[::-1].copy()))


def test_dinov2_is_transformers_own(metrics, places, images):
    prepare = AutoImageProcessor.from_pretrained(places / "dinov2")
    model = AutoModel.from_pretrained(places / "dinov2").eval()
    with torch.inference_mode():
        direct = model(**prepare(list(images), return_tensors="pt")).pooler_output.numpy()
    assert np.array_equal(metrics["dinov2"](images), direct)


def test_pickscore_is_the_models_logit(metrics, places, images, texts):
    prepare, read = (
        AutoImageProcessor.from_pretrained(places / "pickscore"),
        AutoTokenizer.from_pretrained(CLIP_TOKENIZER),
    )
    model = CLIPModel.from_pretrained(places / "pickscore").eval()
    with torch.inference_mode():
        given = {**read(texts, padding=True, return_tensors="pt"), **prepare(list(images), return_tensors="pt")}
        direct = model(**given).logits_per_image.diagonal().numpy()
    assert metrics["pickscore"](images, texts) == pytest.approx(direct, rel=1e-5)


def test_pickscore_reads_the_prompt_and_sees_damage(metrics, images, texts):
    score = metrics["pickscore"]
    right = score(images, texts)
    assert not np.allclose(right, score(images, texts[::-1]), rtol=1e-4)
    assert not np.allclose(right, score(np.full_like(images, 128), texts), rtol=1e-4)


def test_pickscore_scores_long_prompts_by_sentence(metrics, images, texts):
    score, some = metrics["pickscore"], images[:1]
    sentences = [f"A {text[2:]}." for text in texts[:3]]
    each = np.concatenate([score(some, [sentence]) for sentence in sentences])
    assert score(some, [" ".join(sentences)]) == pytest.approx(each.mean(), rel=1e-6)
    with pytest.raises(PromptError, match="pickscore reads 20 tokens, this prompt has 42: 'red red"):
        score(some, ["red " * 40])


def test_images_too_small_for_lpips_are_named(metrics):
    small = np.zeros((1, 3, 24, 24), np.uint8)
    with pytest.raises(MetricError, match="images of 24x24 px; it needs 32 px"):
        metrics["lpips"](small, small)
