"""Capture on noised images: the noising is the models' own, and the sums are what stored activations give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from harness.analysis.noised_images import CaptionedImages, SingleForward, clean_latents, draw, on_noised, read_images
from harness.errors import CheckpointError, OptionError, PromptError
from harness.lab.lab import Lab
from harness.tiny import render, world
from tests.helpers import stored

NAMES = ["flux-tiny", "sd3-tiny", "auraflow-tiny"]
PROMPTS = [
    "a large solid red circle on a grey background",
    "a small striped blue cross on a white background",
    "a large solid green square above a small striped yellow cross on a white background",
]


@pytest.fixture(scope="module", params=NAMES)
def lab(request):
    lab = Lab(request.param, prompts=PROMPTS)
    lab.sampler.batch = 2
    return lab


@pytest.fixture(scope="module")
def flux():
    return Lab("flux-tiny", prompts=PROMPTS[:2])


@pytest.fixture
def change_vae(request):
    """Sets values of the VAE's config for the length of a test."""
    vae = request.getfixturevalue("lab" if "lab" in request.fixturenames else "flux").sampler.pipeline.vae
    before = dict(vae.config)
    yield vae.register_to_config
    vae.register_to_config(**{name: before[name] for name in ("shift_factor", "scaling_factor")})


def pictures(lab):
    return render.render(world.parse_all(lab.prompts)).astype(np.float32) / 255.0


@pytest.mark.parametrize("level", [0.1, 0.2, 0.3])
def test_one_step_leads_back_to_the_image(lab, level):
    """At a low level x_t - s v is much nearer to x0 than x_t is, only if noise, scale, shift and time are right."""
    clean, noise = clean_latents(lab.sampler, pictures(lab)), draw(lab.sampler, PROMPTS, level)
    noisy = (1 - level) * clean + level * noise
    velocity = SingleForward(lab.sampler, PROMPTS)(noisy, level)

    def miss(found):
        return float((found - clean).square().mean())

    assert miss(noisy - level * velocity) < miss(noisy) / 3
    # Another time, or the noise of another convention, is worse.
    assert miss(noisy - level * velocity) < miss(noisy - level * SingleForward(lab.sampler, PROMPTS)(noisy, 1 - level))
    assert miss(noisy + level * velocity) > miss(noisy)


def test_the_pipeline_decodes_clean_latents_to_the_image(lab, change_vae):
    """With a shift that shows; put in place of the last latents of a real run, which AuraFlow doesn't shift back."""
    pipeline = lab.sampler.pipeline
    change_vae(shift_factor=3.0, scaling_factor=1.1)
    images = pictures(lab)
    clean = clean_latents(lab.sampler, images)
    made = pipeline(
        **lab.sampler.conditions(PROMPTS),
        **lab.sampler.adapter.arguments(lab.sampler.settings),
        latents=lab.sampler.noise(PROMPTS, 0),
        callback_on_step_end=lambda *_: {"latents": clean},
        output_type="np",
    ).images.transpose(0, 3, 1, 2)
    assert np.mean((made - images) ** 2) < 0.001  # 30 dB: what the autoencoder loses


def test_running_sums_are_what_stored_activations_give(lab):
    with stored.stored(lab.transformer) as forwards:
        profile = on_noised(lab, levels=2, repeats=2, draws=30)
    # A batch of two and one of one prompt: the pipeline's own first step, which isn't counted, then four levels.
    assert len(forwards) == 10
    parts = [(PROMPTS[:2], forwards[1:5]), (PROMPTS[2:], forwards[6:])]
    scale = 1000 if lab.sampler.family.name == "sd3" else 1
    for _, part in parts:
        assert [f["timestep"] / scale for f in part] == pytest.approx([0.125, 0.375, 0.625, 0.875])
        assert all(len(f["text"]) <= 2 for f in part)  # without guidance
    assert profile.setting == "noised"
    assert profile.edges.tolist() == [0, 0.5, 1]
    assert profile.prompts == 3
    expected = stored.reference(
        lab.transformer, lab.sampler.family.name, parts, lambda timestep: timestep / scale, profile.edges, 30
    )
    stored.assert_same(profile, expected)
    assert not sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lab.transformer.modules())


def test_the_model_gets_the_positive_prompt_and_everything_else_as_from_the_pipeline(lab):
    seen = []
    with stored.stored(lab.transformer) as forwards:
        single = SingleForward(lab.sampler, PROMPTS[:2])
        handle = lab.transformer.register_forward_pre_hook(lambda _m, _a, kwargs: seen.append(kwargs), with_kwargs=True)
        single(clean_latents(lab.sampler, pictures(lab)[:2]), 0.5)
        handle.remove()
    assert torch.equal(forwards[1]["text"], lab.sampler.conditions(PROMPTS[:2])["prompt_embeds"])
    own = lab.sampler.forward_arguments(PROMPTS[:2])
    assert set(own) == set(seen[0])
    rows = len(own["hidden_states"])
    for name, value in own.items():
        if isinstance(value, torch.Tensor) and name not in ("hidden_states", "timestep"):
            assert torch.equal(value[rows // 2 :] if rows == 4 else value, seen[0][name]), name


def test_by_default_a_world_labs_own_pictures_else_the_controls(flux, monkeypatch):
    own = on_noised(flux, levels=2, draws=5)
    same = on_noised(flux, images=pictures(flux), captions=PROMPTS[:2], levels=2, draws=5)
    np.testing.assert_array_equal(own.stream("double", "image").angular, same.stream("double", "image").angular)
    settings = dataclasses.replace(flux.checkpoint.settings, world=False)
    monkeypatch.setattr(flux, "checkpoint", dataclasses.replace(flux.checkpoint, settings=settings))
    control = on_noised(flux, levels=2, draws=5).stream("double", "image")
    images = flux.control_images().astype(np.float32) / 255.0
    given = on_noised(flux, images=images, captions=PROMPTS[:2], levels=2, draws=5).stream("double", "image")
    np.testing.assert_array_equal(control.angular, given.angular)
    assert (control.angular != own.stream("double", "image").angular).any()


def test_noise_is_one_draw_a_prompt_and_level(flux):
    both = draw(flux.sampler, PROMPTS[:2], 0.25)
    assert torch.equal(both[1:], draw(flux.sampler, PROMPTS[1:2], 0.25))
    assert not torch.equal(both, draw(flux.sampler, PROMPTS[:2], 0.75))
    assert not torch.equal(both[0], both[1])
    assert float(both.std()) == pytest.approx(1, abs=0.05)


def test_captions_of_ones_own_leave_nothing_behind(flux):
    flux.sampler.forget()
    flux.sampler.conditions(PROMPTS[:1])
    captions = ["a red circle", "a blue cross", "a green square"]
    images = np.random.default_rng(0).random((3, 3, render.SIDE, render.SIDE), dtype=np.float32)
    told = []
    profile = on_noised(flux, images=images, captions=captions, levels=3, sink=lambda *record: told.append(record))
    assert profile.prompts == 3
    assert list(flux.sampler._conditions) == PROMPTS[:1]
    assert sorted({record[0] for record in told}) == pytest.approx([1 / 6, 0.5, 5 / 6])
    assert len(told) == 9


def test_what_does_not_fit_is_named(flux):
    images = pictures(flux)
    with pytest.raises(PromptError, match="captions without images"):
        on_noised(flux, captions=["a"])
    with pytest.raises(PromptError, match="2 images with 1 captions"):
        on_noised(flux, images=images, captions=["a"])
    with pytest.raises(PromptError, match=r"shape \(3, 20, 40\), and the checkpoint makes \(3, 40, 40\)"):
        on_noised(flux, images=images[:, :, :20], captions=PROMPTS[:2])
    with pytest.raises(PromptError, match=r"values in 0\.\.1"):
        on_noised(flux, images=255 * images, captions=PROMPTS[:2])
    with pytest.raises(PromptError, match="prompt 2 has"):
        on_noised(flux, images=images, captions=["a", "red " * 40])
    for wrong in ({"levels": 0}, {"repeats": 0}):
        with pytest.raises(OptionError, match="at least one of both"):
            on_noised(flux, **wrong)


def test_a_vae_that_overflows_is_named(flux, change_vae):
    change_vae(scaling_factor=float("inf"))
    images = pictures(flux)
    with pytest.raises(CheckpointError, match=r"the VAE overflows in torch\.float32"):
        clean_latents(flux.sampler, images)


def folder_of(tmp_path, **captions):
    for name, caption in captions.items():
        red = np.zeros((30, 60, 3), dtype=np.uint8)
        red[:, 15:45, 0] = 255
        Image.fromarray(red).save(tmp_path / f"{name}.png")
        if caption is not None:
            (tmp_path / f"{name}.txt").write_text(caption, encoding="utf-8")
    return tmp_path


def test_images_are_read_with_the_captions_beside_them(tmp_path):
    folder = folder_of(tmp_path, b=" two\nlines ", a="one")
    Image.new("L", (8, 16), 128).save(folder / "c.JPG")
    (folder / "c.txt").write_text("grey", encoding="utf-8-sig")  # as editors on Windows do
    (folder / "notes.md").write_text("no image")
    found = read_images(folder, 20, 20)
    assert isinstance(found, CaptionedImages)
    assert found.captions == ("one", "two lines", "grey")
    assert found.pixels.shape == (3, 3, 20, 20)
    assert found.pixels.dtype == np.float32
    # 60 x 30 covers 20 x 20 as 40 x 20, of which the middle is red.
    assert found.pixels[0, 0, :, 2:-2].min() > 0.95
    assert found.pixels[0, 1:].max() == 0
    np.testing.assert_allclose(found.pixels[2], 128 / 255, atol=0.01)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda p: (p / "a.txt").unlink(), r"image a\.png has no caption; write it into"),
        (lambda p: (p / "a.txt").write_text(" \n"), r"a\.txt is empty; say what a\.png shows"),
        (lambda p: (p / "a.txt").write_bytes(b"\xff\xfe"), r"can't read the caption"),
        (lambda p: (p / "a.png").write_bytes(b"no image"), r"can't read the image"),
        (lambda p: (p / "a.png").write_bytes((p / "a.png").read_bytes()[:60]), r"can't read the image"),
        (lambda p: (p / "a.png").rename(p / "a.gif"), r"holds no \.png, \.jpg, \.jpeg file"),
    ],
    ids=["no-caption", "empty-caption", "no-text", "no-image", "cut-off", "none"],
)
def test_a_folder_that_can_not_be_read_is_named(tmp_path, spoil, match):
    folder = folder_of(tmp_path, a="one")
    spoil(folder)
    with pytest.raises(PromptError, match=match):
        read_images(folder, 20, 20)
    with pytest.raises(PromptError, match="there is no folder of images"):
        read_images(tmp_path / "other", 20, 20)
